"""Steps that pause between the layers of their networks: what is drawn stays the same, and answers come in the middle."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_captioners
import tiny_images as tiny
import torch
from PIL import Image
from torch import nn

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job
from mmgen.image_params import ImageParams
from mmgen.models.diffusion.denoiser import DenoiserModel
from mmgen.models.diffusion.schedule import NoiseSchedule
from mmgen.models.diffusion.solvers import tabulate
from mmgen.runners.caption import CaptionModel, CaptionRequest, CaptionRunner
from mmgen.runners.denoise import DenoiseRequest, DenoiseRunner
from mmgen.runners.diffusers_pipeline import PipelineModel, PipelineRequest, PipelineRunner
from mmgen.runners.preemption_hooks import pause_between
from mmgen.runners.vae_decode import VAEDecodeRunner


class Answering:
    """A streaming answer without end. Its state: how many steps it had."""

    streams = True

    def key(self, job: Job) -> Any:
        return "k"

    def reserve(self, job: Job) -> int:
        return 0

    def release(self, job: Job) -> None:
        pass

    @torch.inference_mode()
    def step(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            job.state = (job.state or 0) + 1


def denoise(folder: Path) -> tuple[Any, Any]:
    model = DenoiserModel.load(tiny.stable_diffusion(folder))
    model.pack()
    table = tabulate(NoiseSchedule.from_config(model.scheduler_config), "dpm++2m", 3)
    prompt, nothing = model.embed_prompts(["a cat", ""])
    params = ImageParams(guidance=4.0, width=model.size, height=model.size)
    return DenoiseRunner(model), DenoiseRequest(params, prompt, table, nothing)


def decode(folder: Path) -> tuple[Any, Any]:
    latents = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(0))
    return VAEDecodeRunner(DenoiserModel.load(tiny.stable_diffusion(folder)).images), latents


def whole(folder: Path) -> tuple[Any, Any]:
    arguments = {"prompt": "a cat", "width": 16, "height": 16, "num_inference_steps": 2}
    more = {"use_resolution_binning": False, "clean_caption": False}
    return PipelineRunner(PipelineModel.load(tiny.pixart(folder))), PipelineRequest(arguments | more)


def caption(folder: Path) -> tuple[Any, Any]:
    image = Image.linear_gradient("L").convert("RGB").resize((50, 40))
    return CaptionRunner(CaptionModel.load(tiny_captioners.saved("blip", folder))), CaptionRequest(image, "", 8)


@pytest.mark.parametrize("make", [denoise, decode, whole, caption])
def test_answers_come_within_and_change_nothing(tmp_path: Path, make: Callable[[Path], tuple[Any, Any]]) -> None:
    runner, payload = make(tmp_path)
    with Engine({"work": runner}) as engine:
        alone = engine.submit(Job("work", payload, seed=7)).result(60)
    with Engine({"work": runner, "text": Answering()}, max_gap_ms=0.01) as engine:
        answer = engine.submit(Job("text", None))
        work = engine.submit(Job("work", payload, seed=7))
        beside = work.result(60)
        answer.cancel()
    assert answer.job.state > 10 * work.job.quanta, "many in each step"
    if isinstance(alone, torch.Tensor | list):
        assert torch.equal(torch.as_tensor(beside[0]), torch.as_tensor(alone[0]))
    else:
        assert beside == alone


def test_every_layer_is_a_place_to_pause() -> None:
    network, paused = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.SiLU(), nn.Linear(3, 1))), 0

    def pause(wait: Callable[[], None]) -> None:
        nonlocal paused
        wait()
        paused += 1

    pause_between([network], pause)
    with torch.inference_mode():
        network(torch.zeros(1, 2))
    assert paused == 3
