"""FLUX.1: one vector and T5's states of a prompt; the network is told the guidance scale, or was distilled without it."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.diffusion.dit.family import DiTFamily, pack, unpack

SCHNELL_STEPS = 4


class Flux(DiTFamily):
    counts_with = "tokenizer_2"

    @property
    def channels(self) -> int:
        return int(self.config.in_channels) // 4

    @property
    def negative_unheard(self) -> str:  # type: ignore[override]
        return "it was distilled to hear the guidance scale, and reads no negative prompt" if self.hears_guidance else ""

    @property
    def steps(self) -> int:
        return super().steps if self.hears_guidance else SCHNELL_STEPS

    @property
    def guidance(self) -> float:
        return super().guidance if self.hears_guidance else 1.0

    def tokens(self, height: int, width: int) -> int:
        return height * width // 4

    def embed(self, prompt: str) -> Conditioning:
        tokens, vector, _ = self.pipeline.encode_prompt(prompt, None)
        return Conditioning(tokens[0], None, vector[0])

    def predict(self, x: Tensor, timesteps: Tensor, told: Conditioning, scale: Tensor | None) -> Tensor:
        assert told.tokens is not None
        _, _, height, width = x.shape
        places, tokens = self._places(x), pack(x)
        if told.image is not None:
            behind = self._places(told.image.to(x))
            behind[..., 0] = 1
            places, tokens = torch.cat([places, behind]), torch.cat([tokens, pack(told.image.to(x))], dim=1)
        out = self.network(
            hidden_states=tokens,
            timestep=timesteps.to(x.dtype) / 1000,
            guidance=None if scale is None else scale.float(),
            pooled_projections=told.pooled,
            encoder_hidden_states=told.tokens,
            txt_ids=torch.zeros(told.tokens.shape[1], 3, device=x.device, dtype=x.dtype),
            img_ids=places,
            return_dict=False,
        )[0]
        return unpack(out[:, : self.tokens(height, width)], height, width)

    def _places(self, x: Tensor) -> Tensor:
        """Of the tokens of latents, (h w / 4, 3)."""
        _, _, height, width = x.shape
        found: Tensor = self.pipeline._prepare_latent_image_ids(len(x), height // 2, width // 2, x.device, x.dtype)
        return found
