"""Stable Diffusion 3 and 3.5: states of two CLIPs and T5, and a pooled vector."""

from __future__ import annotations

from torch import Tensor

from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.diffusion.dit.family import DiTFamily


class StableDiffusion3(DiTFamily):
    sigmas_given = False
    longest = 256
    counts_with = "tokenizer_3"

    def embed(self, prompt: str) -> Conditioning:
        tokens, _, vector, _ = self.pipeline.encode_prompt(prompt, None, None, do_classifier_free_guidance=False)
        return Conditioning(tokens[0], None, vector[0])

    def predict(self, x: Tensor, timesteps: Tensor, told: Conditioning, scale: Tensor | None) -> Tensor:
        words = {"encoder_hidden_states": told.tokens, "pooled_projections": told.pooled}
        out: Tensor = self.network(hidden_states=x, timestep=timesteps, **words, return_dict=False)[0]
        return out
