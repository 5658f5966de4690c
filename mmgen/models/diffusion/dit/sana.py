"""Sana: states of Gemma 2, before which an instruction stands; a flow on latents 32 times smaller than the image."""

from __future__ import annotations

from torch import Tensor

from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.diffusion.dit.family import DiTFamily


class Sana(DiTFamily):
    sigmas_given = False
    longest = 300
    negative_apart = True

    def embed(self, prompt: str) -> Conditioning:
        instruction = self.called["complex_human_instruction"].default
        tokens, mask, _, _ = self.pipeline.encode_prompt(
            prompt, do_classifier_free_guidance=False, complex_human_instruction=instruction
        )
        return Conditioning(tokens[0], mask[0].bool())

    def embed_negative(self, prompt: str) -> Conditioning:
        """Without the instruction."""
        _, _, tokens, mask = self.pipeline.encode_prompt("", negative_prompt=prompt)
        return Conditioning(tokens[0], mask[0].bool())

    def predict(self, x: Tensor, timesteps: Tensor, told: Conditioning, scale: Tensor | None) -> Tensor:
        out: Tensor = self.network(
            x,
            encoder_hidden_states=told.tokens,
            encoder_attention_mask=None if told.mask is None else told.mask.to(x.dtype),
            timestep=timesteps * self.config.timestep_scale,
            return_dict=False,
        )[0]
        return out.float()[:, : self.channels]
