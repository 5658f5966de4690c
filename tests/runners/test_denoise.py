"""The denoise runner: diffusers' images, and the same image alone and in any company."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import tiny_images as tiny
import torch
from torch import Tensor

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job
from mmgen.errors import BadRequest, Cancelled, TooLarge
from mmgen.image_events import Preview, Progress
from mmgen.image_params import ImageParams
from mmgen.models.diffusion.denoiser import DenoiserModel
from mmgen.models.diffusion.schedule import NoiseSchedule
from mmgen.models.diffusion.solvers import SOLVERS, tabulate
from mmgen.runners.denoise import DenoiseRequest, DenoiseRunner
from mmgen.runners.vae_decode import VAEDecodeRunner

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' Euler


@pytest.fixture(scope="module")
def sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.stable_diffusion(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="module")
def sd(sd_folder: Path) -> DenoiserModel:
    return DenoiserModel.load(sd_folder)


def request(
    model: DenoiserModel, prompt: str = "a cat", solver: str = "ddim", steps: int = 5, **options: Any
) -> DenoiseRequest:
    negative = options.pop("negative", None)
    strength = options.pop("strength", 1.0)
    table = tabulate(NoiseSchedule.from_config(model.scheduler_config), solver, steps, strength=strength)
    condition, other = model.embed_prompts([prompt, negative or ""])
    tensors = {name: options.pop(name) for name in ("start", "known", "mask") if name in options}
    params = ImageParams(**{"width": model.size, "height": model.size, **options})
    return DenoiseRequest(params, condition, table, None if negative is None else other, **tensors)


def draw(model: DenoiserModel, payload: DenoiseRequest, seed: int = 7) -> Tensor:
    """Alone, through the engine -> (3, H, W)."""
    with Engine({"denoise": DenoiseRunner(model), "decode": VAEDecodeRunner(model.images)}) as engine:
        latents = engine.submit(Job("denoise", payload, seed=seed)).result(60)
        image: Tensor = engine.submit(Job("decode", latents)).result(60)
        return image


def theirs(pipeline: Any, seed: int = 7, **arguments: Any) -> Tensor:
    pipeline.set_progress_bar_config(disable=True)
    out = pipeline(**arguments, generator=torch.Generator().manual_seed(seed), output_type="np").images[0]
    return torch.from_numpy(out).permute(2, 0, 1) * 2 - 1


SCHEDULERS = {"ddim": diffusers.DDIMScheduler, "euler": diffusers.EulerDiscreteScheduler}


@pytest.mark.parametrize("solver", SCHEDULERS)
@pytest.mark.parametrize("rescale", [0.0, 0.7])
def test_stable_diffusion_equals_diffusers(sd_folder: Path, sd: DenoiserModel, solver: str, rescale: float) -> None:
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(sd_folder, safety_checker=None)
    pipeline.scheduler = SCHEDULERS[solver].from_config(pipeline.scheduler.config)
    arguments = {"prompt": "a cat", "negative_prompt": "a dog", "guidance_scale": 7.5, "guidance_rescale": rescale}
    expected = theirs(pipeline, num_inference_steps=6, width=24, height=16, **arguments)
    options = {"negative": "a dog", "guidance": 7.5, "guidance_rescale": rescale, "width": 24}
    ours = draw(sd, request(sd, solver=solver, steps=6, **options))
    assert ours.shape == (3, 16, 24)
    assert (ours - expected).abs().max() < 1e-3
    assert expected.std() > 0.01


@pytest.mark.parametrize("solver", SCHEDULERS)
def test_xl_equals_diffusers(tmp_path: Path, solver: str) -> None:
    pipeline = diffusers.StableDiffusionXLPipeline.from_pretrained(tiny.stable_diffusion_xl(tmp_path), add_watermarker=False)
    pipeline.scheduler = SCHEDULERS[solver].from_config(pipeline.scheduler.config)
    expected = theirs(pipeline, prompt="a cat", guidance_scale=5.0, num_inference_steps=6, width=24, height=16)
    model = DenoiserModel.load(tmp_path)
    ours = draw(model, request(model, solver=solver, steps=6, negative="", guidance=5.0, width=24, height=16))
    assert (ours - expected).abs().max() < 1e-3


def test_lcm_equals_diffusers(tmp_path: Path) -> None:
    """The network hears the guidance scale, so there is no second row."""
    tiny.stable_diffusion(tmp_path, time_cond_proj_dim=8)
    diffusers.LCMScheduler(**tiny.SCHEDULE).save_pretrained(tmp_path / "scheduler")
    model = DenoiserModel.load(tmp_path)
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path, safety_checker=None)
    parts = pipeline.components | {"scheduler": diffusers.LCMScheduler(**tiny.SCHEDULE)}
    pipeline = diffusers.LatentConsistencyModelPipeline(**parts, requires_safety_checker=False)
    expected = theirs(pipeline, prompt="a cat", guidance_scale=8.5, num_inference_steps=4)
    job = Job("denoise", request(model, solver="lcm", steps=4, negative="", guidance=8.5), seed=7)
    ours = draw(model, job.payload)
    assert (ours - expected).abs().max() < 1e-3
    assert (draw(model, replace(job.payload, params=replace(job.payload.params, guidance=1.5))) - expected).abs().max() > 1e-3


def test_img2img_equals_diffusers(sd_folder: Path, sd: DenoiserModel) -> None:
    pipeline = diffusers.StableDiffusionImg2ImgPipeline.from_pretrained(sd_folder, safety_checker=None)
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    start = sd.encode(image * 2 - 1)[0]
    arguments = {"prompt": "a cat", "negative_prompt": "", "guidance_scale": 4.0, "num_inference_steps": 10, "strength": 0.6}
    expected = theirs(pipeline, image=start[None], **arguments)  # latents are taken as they are
    ours = draw(sd, request(sd, steps=10, strength=0.6, negative="", guidance=4.0, start=start))
    assert (ours - expected).abs().max() < 1e-3


def test_inpainting_keeps_what_the_mask_leaves(sd: DenoiserModel) -> None:
    known, mask = torch.randn(4, 8, 8), torch.zeros(1, 8, 8)
    mask[:, :, 4:] = 1
    payload = request(sd, solver="ddim", known=known, mask=mask)
    runner, job = DenoiseRunner(sd), Job("denoise", payload, seed=3)
    noise = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(3))
    for step in range(1, 6):
        runner.step([job])
        expected = payload.table.noised(known, noise, step)
        torch.testing.assert_close(job.state.x[:, :, :4], expected[:, :, :4])
    drawn = job.future.result()
    assert not torch.allclose(drawn[:, :, 4:], known[:, :, 4:], atol=0.1)


class Counting:
    """Counts the network's evaluations and their rows."""

    def __init__(self, model: DenoiserModel) -> None:
        self.rows: list[int] = []
        self.hook = model.unet.register_forward_pre_hook(lambda _, inputs: self.rows.append(len(inputs[0])))

    def __enter__(self) -> "Counting":
        return self

    def __exit__(self, *_: object) -> None:
        self.hook.remove()


def mixed(model: DenoiserModel) -> list[DenoiseRequest]:
    """Every solver; step counts, prompts, guidance and rescale differ."""
    payloads = []
    for n, solver in enumerate(SOLVERS):
        options: dict[str, Any] = {}
        if n % 3 != 1:
            options = {"negative": ["", "a dog"][n % 2], "guidance": 2.0 + n, "guidance_rescale": [0.0, 0.6][n % 2]}
        payloads.append(request(model, f"cat {n}", solver, 3 + n, **options))
    return payloads


def test_mixed_jobs_are_one_evaluation(sd: DenoiserModel) -> None:
    runner, payloads = DenoiseRunner(sd), mixed(sd)
    jobs = [Job("denoise", payload, seed=n) for n, payload in enumerate(payloads)]
    assert len({runner.key(job) for job in jobs}) == 1
    guided = sum(payload.negative is not None for payload in payloads)
    with Counting(sd) as counted:
        runner.step(jobs)
        runner.step(jobs)
    assert counted.rows == [len(jobs) + guided] * 2
    assert [job.units for job in jobs] == [1 + (payload.negative is not None) for payload in payloads]


def test_weak_guidance_takes_one_row(sd: DenoiserModel) -> None:
    with Counting(sd) as counted:
        DenoiseRunner(sd).step([Job("denoise", request(sd, negative="a dog", guidance=1.0))])
    assert counted.rows == [1]


def together(runner: DenoiseRunner, jobs: Sequence[Job]) -> None:
    """A job joins at every second step; each leaves when it is done; the first is given up midway."""
    waiting, running, step = list(jobs), [], 0
    while waiting or running:
        if step % 2 == 0 and waiting:
            running.append(waiting.pop(0))
        if step == 2:
            jobs[0].fail(Cancelled("given up"))
        running = [job for job in running if job.ended is None]
        runner.step(running)
        step += 1


@pytest.mark.parametrize("kind", ["stable_diffusion", "embedded"])
def test_the_same_image_alone_and_in_company(tmp_path: Path, kind: str) -> None:
    model = DenoiserModel.load(getattr(tiny, kind)(tmp_path))
    model.pack()
    runner, payloads = DenoiseRunner(model), mixed(model)
    alone = [Job("denoise", payload, seed=n) for n, payload in enumerate(payloads)]
    for job in alone:
        while job.ended is None:
            runner.step([job])
    company = [
        Job("denoise", request(model), seed=99),
        *(Job("denoise", payload, seed=n) for n, payload in enumerate(payloads)),
    ]
    together(runner, company)
    for one, other in zip(alone, company[1:], strict=True):
        difference = (model.decode(one.future.result()[None]) - model.decode(other.future.result()[None])).abs().max()
        assert difference / 2 <= 1 / 255, one.payload.table.solver  # images span [-1, 1]


def test_seeds_differ_and_repeat(sd: DenoiserModel) -> None:
    payload = request(sd, solver="euler-a")
    assert torch.equal(draw(sd, payload, 1), draw(sd, payload, 1))
    assert not torch.allclose(draw(sd, payload, 1), draw(sd, payload, 2), atol=1e-3)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_torch_does_not_take(sd: DenoiserModel, seed: int) -> None:
    with pytest.raises(BadRequest, match=f"seed is {seed}; use 0 to 9223372036854775807"):
        draw(sd, request(sd), seed)


def test_events(sd: DenoiserModel) -> None:
    with Engine({"denoise": DenoiseRunner(sd)}) as engine:
        handle = engine.submit(Job("denoise", request(sd, steps=6, preview_every=2)))
        events = list(handle.events(30))
    assert [(event.step, event.of) for event in events if isinstance(event, Progress)] == [(n, 6) for n in range(1, 7)]
    previews = [event for event in events if isinstance(event, Preview)]
    assert [preview.step for preview in previews] == [2, 4]
    assert previews[0].latents.shape == (4, 8, 8)


def test_a_late_preview_is_close_to_the_image(sd: DenoiserModel) -> None:
    job = Job("denoise", request(sd, steps=50, preview_every=1))
    while job.ended is None:
        DenoiseRunner(sd).step([job])
    previews, result = [event.latents for event in job.log if isinstance(event, Preview)], job.future.result()
    far, near = ((preview - result).abs().mean() for preview in (previews[0], previews[-1]))
    assert near < 0.2 * far


def test_cancelled_between_steps(sd: DenoiserModel) -> None:
    with Engine({"denoise": DenoiseRunner(sd)}) as engine:
        handle = engine.submit(Job("denoise", request(sd, steps=900)))
        next(handle.events(30))
        handle.cancel()
        with pytest.raises(Cancelled):
            handle.result(30)
        assert len(handle.job.log) < 900 and handle.job.state is None


def test_a_job_that_is_no_number_fails_alone(sd: DenoiserModel) -> None:
    good, bad = request(sd), request(sd, start=torch.full((4, 8, 8), math.nan))
    jobs = [Job("denoise", payload, seed=1) for payload in (good, bad, good)]
    runner = DenoiseRunner(sd)
    while any(job.ended is None for job in jobs):
        runner.step([job for job in jobs if job.ended is None])
    assert [job.status for job in jobs] == ["done", "failed", "done"]
    with pytest.raises(BadRequest, match="not a number any more after step 1 of 5 with guidance 1"):
        jobs[1].future.result()


def test_a_job_that_breaks_the_pass_fails_alone(sd: DenoiserModel) -> None:
    broken = request(sd)
    broken = replace(broken, condition=replace(broken.condition, tokens=torch.zeros(16, 9)))
    jobs = [Job("denoise", payload, seed=1) for payload in (request(sd), broken, request(sd))]
    runner = DenoiseRunner(sd)
    runner.step(jobs)
    assert [job.status for job in jobs] == ["queued", "failed", "queued"]
    assert [job.state.row for job in (jobs[0], jobs[2])] == [1, 1]


def test_what_cannot_be_drawn_is_refused_at_submit(sd: DenoiserModel) -> None:
    bad: list[tuple[dict[str, Any], str]] = [
        ({"guidance": math.nan}, "guidance is nan"),
        ({"guidance": -1.0}, "guidance is -1.0"),
        ({"guidance_rescale": 2.0}, "guidance_rescale is 2.0"),
        ({"width": -16}, "width is -16"),
        ({"height": 10**7}, "height is 10000000"),
        ({"start": torch.zeros(4, 9, 8)}, r"start is of shape \(4, 9, 8\), the image's is \(4, 8, 8\)"),
        ({"mask": torch.zeros(1, 8, 8)}, "give both or none"),
        ({"known": torch.zeros(4, 8, 8), "mask": torch.zeros(1, 4, 4)}, "mask is of shape"),
    ]
    with Engine({"denoise": DenoiseRunner(sd)}) as engine:
        for options, message in bad:
            with pytest.raises(BadRequest, match=message):
                engine.submit(Job("denoise", request(sd, **options)))


def test_reserve_grows_with_size_and_rows(sd: DenoiserModel) -> None:
    def needs(**options: Any) -> int:
        return DenoiseRunner(sd).reserve(Job("denoise", request(sd, **options)))

    assert needs(width=32, height=32) > 3.5 * needs()
    assert 1.3 * needs() < needs(negative="", guidance=5.0) < 2 * needs()


class Cramped(DenoiseRunner):
    """Room for so many rows a pass."""

    room = 2

    def _evaluate(self, jobs: Sequence[Job]) -> Tensor:
        if len(jobs) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super()._evaluate(jobs)


def test_short_of_memory_the_pass_is_halved_and_the_images_are_the_same(sd: DenoiserModel) -> None:
    payloads = [request(sd, steps=3) for _ in range(5)]
    alone = [draw(sd, payload, seed) for seed, payload in enumerate(payloads)]
    with Engine({"denoise": Cramped(sd)}) as engine:
        handles = [engine.submit(Job("denoise", payload, seed=seed)) for seed, payload in enumerate(payloads)]
        for handle, image in zip(handles, alone, strict=True):
            assert (sd.decode(handle.result(60)[None])[0] - image).abs().max() <= 2 / 255
        engine.runners["denoise"].room = 0  # type: ignore[attr-defined]
        with pytest.raises(TooLarge, match=r"denoise job does not fit into the device's memory \(CUDA out of memory\)"):
            engine.submit(Job("denoise", payloads[0])).result(60)


def test_what_is_expected_of_a_job(sd: DenoiserModel) -> None:
    runner = DenoiseRunner(sd)
    plain = runner.estimate(Job("denoise", request(sd, steps=7)))
    assert plain.quanta == 7 and plain.milliseconds is not None and plain.milliseconds > 0
    guided = runner.estimate(Job("denoise", request(sd, negative="a dog", guidance=3.0, width=32, height=32)))
    assert guided.milliseconds is not None and guided.milliseconds > plain.milliseconds
