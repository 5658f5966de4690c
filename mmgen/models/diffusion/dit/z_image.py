"""Z-Image: states of Qwen3; images and prompts of any length go in as lists, and its guidance scale counts from 0."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.diffusion.dit.family import DiTFamily


class ZImage(DiTFamily):
    @property
    def channels(self) -> int:
        return int(self.network.in_channels)

    def tokens(self, height: int, width: int) -> int:
        return height * width // 4

    def embed(self, prompt: str) -> Conditioning:
        states, _ = self.pipeline.encode_prompt([prompt], do_classifier_free_guidance=False)
        return Conditioning(states[0])

    def predict(self, x: Tensor, timesteps: Tensor, told: Conditioning, scale: Tensor | None) -> Tensor:
        assert told.tokens is not None
        states = (
            list(told.tokens) if told.mask is None else [one[seen] for one, seen in zip(told.tokens, told.mask, strict=True)]
        )
        out = self.network(list(x.unsqueeze(2).unbind()), (1000 - timesteps) / 1000, states, return_dict=False)[0]
        return -torch.stack([one.float() for one in out]).squeeze(2)

    def guide(self, outputs: Tensor, guided: Tensor, scale: Tensor, rescale: Tensor) -> Tensor:
        """`c + s (c - u)`, as its pipeline has it."""
        return super().guide(outputs, guided, scale + 1, rescale)
