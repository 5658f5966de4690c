"""Qwen-Image: states of Qwen2.5-VL, of as many tokens as the prompt has; guidance that keeps each token's length."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.diffusion.dit.family import DiTFamily, as_long, pack, unpack


class QwenImage(DiTFamily):
    longest = 512

    @property
    def channels(self) -> int:
        return int(self.config.in_channels) // 4

    @property
    def guidance(self) -> float:
        """Its pipeline calls it true_cfg_scale, and the model's card always has it."""
        return float(self.called["true_cfg_scale"].default)

    def tokens(self, height: int, width: int) -> int:
        return height * width // 4

    def embed(self, prompt: str) -> Conditioning:
        tokens, mask = self.pipeline.encode_prompt(prompt or " ", max_sequence_length=self.longest)  # " ": as its card has it
        return Conditioning(tokens[0] if mask is None else tokens[0][mask[0].bool()])

    def predict(self, x: Tensor, timesteps: Tensor, told: Conditioning, scale: Tensor | None) -> Tensor:
        _, _, height, width = x.shape
        tokens, shapes = pack(x), [(1, height // 2, width // 2)]
        for image in () if told.image is None else (told.image, *told.references):
            tokens = torch.cat([tokens, pack(image.to(x))], dim=1)
            shapes.append((1, image.shape[-2] // 2, image.shape[-1] // 2))
        out = self.network(
            hidden_states=tokens,
            timestep=timesteps.to(x.dtype) / 1000,
            guidance=None if scale is None else scale.float(),
            encoder_hidden_states=told.tokens,
            encoder_hidden_states_mask=told.mask,
            img_shapes=[shapes] * len(x),
            return_dict=False,
        )[0]
        return unpack(out[:, : self.tokens(height, width)], height, width)

    def guide(self, outputs: Tensor, guided: Tensor, scale: Tensor, rescale: Tensor) -> Tensor:
        mixed = super().guide(outputs, guided, scale, rescale)
        kept = as_long(pack(mixed[guided]), pack(outputs[guided]), dim=-1)
        mixed[guided] = unpack(kept, *mixed.shape[-2:])
        return mixed
