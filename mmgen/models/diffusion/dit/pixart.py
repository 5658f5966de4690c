"""PixArt-alpha and -Sigma: states of T5 and masked; noise is predicted, on a schedule like Stable Diffusion's."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mmgen.models.diffusion import solvers
from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.diffusion.dit.family import DiTFamily
from mmgen.models.diffusion.schedule import NoiseSchedule
from mmgen.models.diffusion.solver_table import SolverTable


class PixArt(DiTFamily):
    solver = "dpm++2m"

    @property
    def longest(self) -> int:  # type: ignore[override]
        return int(self.called["max_sequence_length"].default)

    @cached_property
    def schedule(self) -> NoiseSchedule:
        return NoiseSchedule.from_config(self.scheduler.config)

    def table(self, solver: str, steps: int, strength: float, height: int, width: int) -> SolverTable:
        return solvers.tabulate(self.schedule, solver, steps, strength=strength)

    def embed(self, prompt: str) -> Conditioning:
        tokens, mask, _, _ = self.pipeline.encode_prompt(prompt, do_classifier_free_guidance=False)
        return Conditioning(tokens[0], mask[0].bool())

    def predict(self, x: Tensor, timesteps: Tensor, told: Conditioning, scale: Tensor | None) -> Tensor:
        out: Tensor = self.network(
            x,
            encoder_hidden_states=told.tokens,
            encoder_attention_mask=None if told.mask is None else told.mask.to(x.dtype),
            timestep=timesteps,
            added_cond_kwargs=self._size(x),
            return_dict=False,
        )[0]
        return out[:, : self.channels]  # the rest is a variance, if there is one

    def _size(self, x: Tensor) -> dict[str, Any]:
        """Some of them are told the image's size and shape."""
        if not self.config.get("use_additional_conditions"):
            return {"resolution": None, "aspect_ratio": None}
        height, width = (self.pipeline.vae_scale_factor * side for side in x.shape[-2:])
        size = torch.tensor([height, width], device=x.device, dtype=x.dtype)
        return {"resolution": size.expand(len(x), 2), "aspect_ratio": (size[:1] / size[1:]).expand(len(x), 1)}
