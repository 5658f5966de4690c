"""Lumina Image 2.0: states of Gemma 2 and masked; time runs from noise at 0 to the image at 1."""

from __future__ import annotations

from torch import Tensor

from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.diffusion.dit.family import DiTFamily, as_long


class Lumina2(DiTFamily):
    longest = 256
    negative_apart = True

    def shifted_by(self, height: int, width: int) -> int:
        """Its pipeline takes the number of channels, and so do we."""
        return self.channels

    def check_length(self, prompt: str) -> None:
        super().check_length(f"{self.pipeline.system_prompt} <Prompt Start> {prompt}")

    def embed(self, prompt: str) -> Conditioning:
        tokens, mask, _, _ = self.pipeline.encode_prompt(prompt, do_classifier_free_guidance=False)
        return Conditioning(tokens[0], mask[0].bool())

    def embed_negative(self, prompt: str) -> Conditioning:
        """Without the words of the system that stand before a prompt."""
        _, _, tokens, mask = self.pipeline.encode_prompt("", negative_prompt=prompt)
        return Conditioning(tokens[0], mask[0].bool())

    def predict(self, x: Tensor, timesteps: Tensor, told: Conditioning, scale: Tensor | None) -> Tensor:
        words = {"encoder_hidden_states": told.tokens, "encoder_attention_mask": told.mask}
        time = 1 - timesteps / self.scheduler.config.num_train_timesteps
        out: Tensor = self.network(hidden_states=x, timestep=time, **words, return_dict=False)[0]
        return -out

    def guide(self, outputs: Tensor, guided: Tensor, scale: Tensor, rescale: Tensor) -> Tensor:
        mixed = super().guide(outputs, guided, scale, rescale)
        mixed[guided] = as_long(mixed[guided], outputs[guided], dim=-1)
        return mixed
