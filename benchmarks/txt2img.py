"""Drawing speed: diffusers' loop as its documentation writes it, and mmgen, on the same UNet weights in one run; ratios last.

python benchmarks/txt2img.py [--model REF] [--solver dpm++2m] [--steps 20] [--repeats 7] [--only alone|together|whole]
                             [--shapes sd15 sdxl tiny]
Two models: the embedded one, and a random UNet of Stable Diffusion's shape, scaled down. Both ways start from embedded prompts
and end in latents, mmgen's through the engine, as every caller uses it; they take turns and medians are quoted. diffusers has
its own layers, and its weights in the memory format that is faster here.
alone: one guided image. together: eight requests, 100 ms apart, each with steps (10 to 30) and guidance of its own; diffusers
draws them one after another. whole: the embedded model from prompt to image, and the memory of a process that draws one.
shapes: instead of all that, random weights of these shapes at 256 pixels (tiny: 16), with the autoencoder's decoding on both
sides; steps of the eight requests are to --steps as 10 to 30 are to 20. sdxl: diffusers first, as two copies of 5 GB in bf16
are too much for many machines.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import diffusers
import image_shapes
import torch
from setting import setting
from torch import Tensor

import mmgen
from mmgen import hub
from mmgen.config import load_runtime
from mmgen.engine.engine import Engine
from mmgen.engine.job import Job
from mmgen.image_params import ImageParams
from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.diffusion.denoiser import PRECISIONS, DenoiserModel
from mmgen.models.diffusion.schedule import NoiseSchedule
from mmgen.models.diffusion.solvers import tabulate
from mmgen.models.diffusion.unet import ConditionalUNet, diffusers_unet
from mmgen.runners.denoise import DenoiseRequest, DenoiseRunner
from mmgen.runners.vae_decode import VAEDecodeRunner

SCHEDULERS = {
    "ddim": diffusers.DDIMScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "dpm++2m": diffusers.DPMSolverMultistepScheduler,
}
STEPS, GUIDANCE = (10, 13, 16, 19, 21, 24, 27, 30), (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)
APART = 0.1  # seconds between two arrivals
BY_SIDES = {"sdxl"}  # shapes of which only one side is in memory at a time
PROMPT = "a smiling cat with heart eyes"
WHOLE = """
import time, mmgen
began = time.perf_counter()
mmgen.pipeline("txt2img", model={model!r})({prompt!r}, steps={steps}, guidance=5.0, seed=0)
print(time.perf_counter() - began, open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


@dataclass
class Case:
    """A model twice: as diffusers loads it, and ours."""

    name: str
    peer: Any
    model: DenoiserModel
    prompt: Conditioning
    nothing: Conditioning
    layout: torch.memory_format = torch.contiguous_format  # of the peer's weights and latents
    vae: Any = None  # the peer's autoencoder
    decoded: bool = False  # whether images are wanted, not latents

    @classmethod
    def of(cls, name: str, model: DenoiserModel, peer: Any = None, vae: Any = None) -> "Case":
        """Ours is still to be packed. `peer`: None: a copy of our UNet."""
        prompt, nothing = model.embed_prompts([PROMPT, ""])
        case = cls(name, peer or as_diffusers_has_it(model.unet), model, prompt, nothing, vae=vae, decoded=vae is not None)
        case.layout = case.fastest_layout()
        case.peer = case.peer.to(memory_format=case.layout)
        if vae is not None:
            vae.to(memory_format=case.layout)
        return case

    def fastest_layout(self) -> torch.memory_format:
        """Of the peer's weights and latents, by two evaluations each."""
        times: dict[torch.memory_format, float] = {}
        for self.layout in (torch.contiguous_format, torch.channels_last):
            self.peer = self.peer.to(memory_format=self.layout)
            theirs(self, "ddim", 1, 2.0, 0)
            began = time.perf_counter()
            theirs(self, "ddim", 2, 2.0, 0)
            times[self.layout] = time.perf_counter() - began
        return min(times, key=times.__getitem__)


def as_diffusers_has_it(unet: Any) -> Any:
    """The same network without our layers."""
    if isinstance(unet, ConditionalUNet):
        return diffusers_unet(unet)
    made = diffusers.UNet2DConditionModel.from_config(unet.config)
    made.load_state_dict(unet.state_dict())
    return made.requires_grad_(False).eval().to(unet.dtype)


class Heard:
    """A text side that says something at random."""

    def embed(self, prompts: Sequence[str], *_: Any) -> list[Conditioning]:
        return [Conditioning(torch.randn(77, 256)) for _ in prompts]

    def modules(self) -> list[Any]:
        return []

    def networks(self) -> dict[str, Any]:
        return {}

    def widths(self) -> list[int]:
        return []


def small_stable_diffusion(dtype: torch.dtype) -> DenoiserModel:
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=32,
        block_out_channels=(64, 128, 256),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        attention_head_dim=4,
        cross_attention_dim=256,
    )
    latents: Any = SimpleNamespace(channels=4, factor=8, cheap=True, modules=list)  # no decoder: nothing is decoded here
    schedule = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}
    return DenoiserModel(
        unet.requires_grad_(False).eval().to(dtype),
        Heard(),
        latents,
        {**schedule, "set_alpha_to_one": False, "steps_offset": 1},
    )


@torch.no_grad()
def theirs(case: Case, solver: str, steps: int, guidance: float, seed: int) -> Tensor:
    """https://huggingface.co/docs/diffusers/using-diffusers/write_own_pipeline, with what this UNet is told besides."""
    scheduler = SCHEDULERS[solver].from_config(case.model.scheduler_config)
    scheduler.set_timesteps(steps)
    dtype = case.model.dtype
    told = {"encoder_hidden_states": torch.stack([case.nothing.tokens, case.prompt.tokens]).to(dtype)}
    if case.prompt.mask is not None:
        told["encoder_attention_mask"] = torch.stack([case.nothing.mask, case.prompt.mask])
    if case.prompt.pooled is not None:
        pooled, side = torch.stack([case.nothing.pooled, case.prompt.pooled]).to(dtype), case.model.size
        if case.peer.config.addition_embed_type == "text_time":
            sizes = torch.tensor([[side, side, 0, 0, side, side]] * 2, dtype=dtype)
            told["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": sizes}
        else:
            told["class_labels"] = pooled
    shape = case.model.latent_shape(case.model.size, case.model.size)
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(seed))[None] * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        latent_model_input = torch.cat([latents] * 2)
        latent_model_input = scheduler.scale_model_input(latent_model_input, timestep=t)
        noise_pred = case.peer(latent_model_input.to(dtype, memory_format=case.layout), t, **told).sample.float()
        noise_pred_uncond, noise_pred_text = noise_pred.chunk(2)
        noise_pred = noise_pred_uncond + guidance * (noise_pred_text - noise_pred_uncond)
        latents = scheduler.step(noise_pred, t, latents).prev_sample
    if not case.decoded:
        return latents[0]
    latents = (latents / case.vae.config.scaling_factor).to(dtype, memory_format=case.layout)
    return case.vae.decode(latents, return_dict=False)[0][0].float().clamp(-1, 1)


def job(case: Case, solver: str, steps: int, guidance: float, seed: int) -> Job:
    model = case.model
    table = tabulate(NoiseSchedule.from_config(model.scheduler_config), solver, steps)
    params = ImageParams(solver=solver, steps=steps, guidance=guidance, width=model.size, height=model.size)
    return Job("denoise", DenoiseRequest(params, case.prompt, table, case.nothing), seed=seed)


def ours(case: Case, engine: Engine, *order: Any) -> Tensor:
    """As `theirs`, through the engine."""
    latents = engine.submit(job(case, *order)).result()
    return latents if not case.decoded else engine.submit(Job("decode", latents, seed=0)).result()


def engine_of(case: Case) -> Engine:
    decoder: dict[str, Any] = {"decode": VAEDecodeRunner(case.model.images)} if case.decoded else {}
    return Engine({"denoise": DenoiseRunner(case.model), **decoder})


def one_after_another(case: Case, solver: str, steps: Sequence[int] = STEPS) -> None:
    began = time.perf_counter()
    for n, (count, guidance) in enumerate(zip(steps, GUIDANCE, strict=True)):
        time.sleep(max(0.0, began + APART * n - time.perf_counter()))
        theirs(case, solver, count, guidance, n)


def as_they_come(case: Case, engine: Engine, solver: str, steps: Sequence[int] = STEPS) -> None:
    began = time.perf_counter()
    with ThreadPoolExecutor(len(steps)) as callers:
        handles = []
        for n, (count, guidance) in enumerate(zip(steps, GUIDANCE, strict=True)):
            time.sleep(max(0.0, began + APART * n - time.perf_counter()))
            handles.append(callers.submit(ours, case, engine, solver, count, guidance, n))
        for handle in handles:
            handle.result()


def in_turn(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each, after one turn that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, work in ways.items():
            began = time.perf_counter()
            work()
            if turn:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def alone(case: Case, engine: Engine, args: argparse.Namespace) -> str:
    order = (args.solver, args.steps, 5.0, 1)
    one, other = theirs(case, *order), ours(case, engine, *order)
    found = in_turn({"diffusers": lambda: theirs(case, *order), "mmgen": lambda: ours(case, engine, *order)}, args.repeats)
    for name, seconds in found.items():
        print(f"{case.name}, one image, {args.steps} steps, {name:10} {seconds:7.3f} s")
    print(f"{case.name}: largest difference of the latents {(one - other).abs().max():.1e}, of {one.abs().max():.1f}")
    return f"{case.name}, one image: mmgen / diffusers {found['diffusers'] / found['mmgen']:.2f}x (target 1.3x)"


def together(case: Case, engine: Engine, args: argparse.Namespace) -> str:
    ways = {"diffusers": lambda: one_after_another(case, args.solver), "mmgen": lambda: as_they_come(case, engine, args.solver)}
    found = in_turn(ways, max(1, args.repeats // 2))
    for name, seconds in found.items():
        print(f"{case.name}, eight requests, {name:10} {60 * len(STEPS) / seconds:7.1f} images a minute")
    return f"{case.name}, eight requests: mmgen / diffusers {found['diffusers'] / found['mmgen']:.2f}x (target 2.5x)"


def shaped(shape: str, args: argparse.Namespace) -> list[str]:
    """Both sides on random weights of that shape, from embedded prompts to pixels."""
    unet, vae = image_shapes.networks(shape, PRECISIONS[args.precision])
    case = Case.of(shape, image_shapes.model(shape, unet, vae), unet, vae)
    del unet, vae
    order = (args.solver, args.steps, 5.0, 1)
    eight = [max(2, round(steps * args.steps / 20)) for steps in STEPS]
    with engine_of(case) as engine:
        ways: dict[str, dict[str, Callable[[], Any]]] = {
            "one image": {"diffusers": lambda: theirs(case, *order), "mmgen": lambda: ours(case, engine, *order)},
            "eight requests": {
                "diffusers": lambda: one_after_another(case, args.solver, eight),
                "mmgen": lambda: as_they_come(case, engine, args.solver, eight),
            },
        }
        wanted = {"alone": ["one image"], "together": ["eight requests"]}.get(args.only, list(ways))
        image, found = theirs(case, *order), dict[str, dict[str, float]]()
        if shape in BY_SIDES:
            found = {part: in_turn({"diffusers": ways[part]["diffusers"]}, args.repeats) for part in wanted}
            case.peer = case.vae = None
            case.model.pack()
            for part in wanted:
                found[part] |= in_turn({"mmgen": ways[part]["mmgen"]}, args.repeats)
        else:
            case.model.pack()
            found = {part: in_turn(ways[part], args.repeats) for part in wanted}
        far = (image - ours(case, engine, *order)).abs().max()
    for part, times in found.items():
        print(f"{shape}, {part}, {args.steps} steps: " + ", ".join(f"{name} {took:.2f} s" for name, took in times.items()))
    print(f"{shape}: largest difference of the pixels {far:.1e}, of 2")
    targets = {"one image": 1.3, "eight requests": 2.5}
    return [
        f"{shape}, {part}: mmgen / diffusers {times['diffusers'] / times['mmgen']:.2f}x (target {targets[part]}x)"
        for part, times in found.items()
    ]


def whole(reference: str, args: argparse.Namespace) -> str:
    draw = mmgen.pipeline("txt2img", model=f"{reference}#{args.precision}")
    found = in_turn({"mmgen": lambda: draw(PROMPT, steps=args.steps, guidance=5.0, seed=0)}, args.repeats)["mmgen"]
    code = WHOLE.format(model=reference, prompt=PROMPT, steps=args.steps)
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    cold, peak = child.stdout.split()
    print(f"a process that draws one image: {float(cold):.1f} s with loading, peak memory {int(peak) / 1024:.0f} MiB")
    return f"prompt to image, {args.steps} steps with guidance: {found:.2f} s (target at most 5 s)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=load_runtime().denoiser)
    parser.add_argument("--solver", choices=SCHEDULERS, default="dpm++2m")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of both sides")
    parser.add_argument("--only", choices=["alone", "together", "whole"])
    parser.add_argument("--shapes", nargs="+", choices=image_shapes.UNETS, default=[])
    args = parser.parse_args()
    print(setting(mmgen=args.precision, diffusers=args.precision))
    print(f"{args.solver}, medians of {args.repeats} turns")
    verdicts = [line for shape in args.shapes for line in shaped(shape, args)]
    if args.shapes:
        print("\n".join(verdicts))
        return
    models = {
        "embedded": lambda: DenoiserModel.load(hub.resolve(args.model, kind="denoiser"), precision=args.precision),
        "random": partial(small_stable_diffusion, PRECISIONS[args.precision]),
    }
    for name, load in models.items():
        case = Case.of(name, load())
        case.model.pack()
        with engine_of(case) as engine:
            verdicts += [part(case, engine, args) for part in (alone, together) if args.only in (None, part.__name__)]
    if args.only in (None, "whole"):
        verdicts.append(whole(args.model, args))
    print("\n".join(verdicts))


if __name__ == "__main__":
    main()
