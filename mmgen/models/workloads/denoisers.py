"""How a denoiser and its autoencoder choose their precision: a guided row, judged by images drawn in few steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from mmgen.models.diffusion.denoiser import DenoiserModel, handles
from mmgen.models.diffusion.guidance import guide
from mmgen.models.diffusion.schedule import NoiseSchedule
from mmgen.models.diffusion.solver_table import HISTORY, fused_update, stack
from mmgen.models.diffusion.solvers import tabulate
from mmgen.models.tuning import gates
from mmgen.models.tuning.gates import Verdict
from mmgen.models.tuning.workload import Workload

MOST_SIDE = 32
"""Latents of a pass are at most so many places wide and high."""
PROMPTS = ("a red apple", "a cat")
STEPS, SCALE = 6, 5.0


class DenoiserWorkload(Workload):
    """Models whose UNet is batched step by step."""

    kind: ClassVar = "denoiser"

    def candidates(self, folder: Path) -> tuple[str, ...]:
        return ("fp32", "bf16") if handles(folder) else ("fp32",)

    def takes(self, model: Any) -> bool:
        return isinstance(model, DenoiserModel)

    @torch.inference_mode()
    def run(self, model: DenoiserModel) -> None:
        """One image's step, and where decoding costs something a sixteenth of that: a draw has some twenty steps."""
        _predicted(model, torch.zeros(1, *_shape(model)), 500, PROMPTS[:1])
        if not model.cheap:
            channels, height, width = _shape(model)
            model.images.decode(torch.zeros(1, channels, height // 4, width // 4))

    def results(self, model: DenoiserModel, thorough: bool) -> Iterator[np.ndarray | None]:
        """The first step of the first image alone and of all of them, both (B, C, h, w), and at last images (B, 3, H, W).

        There is a None for every other pass.
        """
        seeds = list(range(8 if thorough else 2))
        steps = 3 * STEPS if thorough else STEPS
        yield next(draw(model, seeds[:1], steps))
        yield from draw(model, seeds, steps)

    def judge(self, reference: list[np.ndarray | None], found: list[np.ndarray | None]) -> Verdict:
        """Close to the reference, and the same in a batch as alone."""
        *_, expected = (one for one in reference if one is not None)
        alone, together, images = (one for one in found if one is not None)
        return gates.images(expected, images) & gates.company(alone, together[:1], gates.LEVEL)


def draw(model: DenoiserModel, seeds: Sequence[int], steps: int) -> Iterator[np.ndarray | None]:
    """DPM-Solver++ by hand: the first pass's output, None for the others, and at last images (B, 3, H, W) in [-1, 1]."""
    table = tabulate(NoiseSchedule.from_config(model.scheduler_config), "dpm++2m", steps)
    shape, prompts = _shape(model), [PROMPTS[seed % len(PROMPTS)] for seed in seeds]
    with torch.inference_mode():
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        x, history = torch.stack([table.first(one) for one in noise]), torch.zeros(len(seeds), HISTORY, *shape)
    for row in range(len(table)):
        with torch.inference_mode():
            output = _predicted(model, x, table.timesteps[row], prompts).cpu()
            x, history, _ = fused_update(x, output, history, torch.zeros_like(x), stack([(table, row)] * len(seeds)))
        yield None if row else output.numpy()
    yield model.decode(x).numpy()


def _predicted(model: DenoiserModel, x: Tensor, timestep: Tensor | float, prompts: Sequence[str]) -> Tensor:
    """One pass, guided where the model has a condition."""
    times = torch.as_tensor(timestep).expand(len(x))
    if not model.conditional:
        return model.predict(x, times, model.embed_prompts(prompts))
    scale = torch.full((len(x),), SCALE)
    if model.guidance_embedded:
        return model.predict(x, times, model.embed_prompts(prompts), scale)
    conditions = model.embed_prompts([*prompts, *[""] * len(x)])
    outputs = model.predict(torch.cat([x, x]), times.repeat(2), conditions)
    return guide(outputs.cpu(), torch.arange(len(x)), scale, torch.zeros(len(x)))


def _shape(model: DenoiserModel) -> tuple[int, int, int]:
    """(C, h, w) of the latents to work on."""
    side = min(model.size // model.factor, MOST_SIDE)
    return model.channels, side, side
