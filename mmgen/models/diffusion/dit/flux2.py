"""FLUX.2, dev and klein: states of three layers of a language model; latents are squares of 2 x 2 from the beginning.

dev's network is told the guidance scale; klein's base model is guided by a second row, its distilled one not at all.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from torch import Tensor

from mmgen.errors import TooLong
from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.diffusion.dit import flow_schedule
from mmgen.models.diffusion.dit.family import DiTFamily
from mmgen.models.diffusion.noise_levels import NoiseLevels

DISTILLED_STEPS = 4


class Flux2(DiTFamily):
    """dev."""

    patch = 1
    longest = 512

    @property
    def negative_unheard(self) -> str:  # type: ignore[override]
        return "it was distilled to hear the guidance scale, and reads no negative prompt" if self.hears_guidance else ""

    @property
    def sample_size(self) -> int:
        return int(self.pipeline.default_sample_size) // 2

    def tokens(self, height: int, width: int) -> int:
        return height * width

    def levels(self, steps: int, height: int, width: int) -> NoiseLevels:
        """The shift depends on the number of steps, too."""
        shift = import_module(type(self.pipeline).__module__).compute_empirical_mu
        given = np.linspace(1.0, 1 / steps, steps)
        return flow_schedule.levels(self.scheduler, steps, given, shift(self.tokens(height, width), steps))

    def embed(self, prompt: str) -> Conditioning:
        tokens, _ = self.pipeline.encode_prompt(prompt, max_sequence_length=self.longest)
        return Conditioning(tokens[0])

    def predict(self, x: Tensor, timesteps: Tensor, told: Conditioning, scale: Tensor | None) -> Tensor:
        assert told.tokens is not None
        out: Tensor = self.network(
            hidden_states=x.flatten(2).transpose(1, 2),  # (B, C, h, w) -> (B, h w, C)
            timestep=timesteps.to(x.dtype) / 1000,
            guidance=None if scale is None else scale.float(),
            encoder_hidden_states=told.tokens,
            txt_ids=self.pipeline._prepare_text_ids(told.tokens).to(x.device),
            img_ids=self.pipeline._prepare_latent_ids(x).to(x.device),
            return_dict=False,
        )[0]
        return out.transpose(1, 2).reshape(x.shape)

    def check_length(self, prompt: str) -> None:
        """With the words that its pipeline puts around a prompt."""
        found = self.pipeline.tokenizer.apply_chat_template(
            self._said(prompt), tokenize=True, return_dict=True, **self._options()
        )
        ids = found["input_ids"]
        if (tokens := len(ids[0] if ids and isinstance(ids[0], list) else ids)) > self.longest:
            raise TooLong(
                f"the prompt is {tokens} tokens with what is said around it, the model reads {self.longest}; shorten it"
            )

    def _said(self, prompt: str) -> Any:
        module = import_module(type(self.pipeline).__module__)
        return module.format_input(prompts=[prompt], system_message=self.pipeline.system_message)

    def _options(self) -> dict[str, Any]:
        return {"add_generation_prompt": False}


class Flux2Klein(Flux2):
    """klein, base or distilled."""

    @property
    def distilled(self) -> bool:
        return bool(self.pipeline.config.get("is_distilled"))

    @property
    def steps(self) -> int:
        return DISTILLED_STEPS if self.distilled else super().steps

    @property
    def guidance(self) -> float:
        return 1.0 if self.distilled else super().guidance

    @property
    def hears_guidance(self) -> bool:
        return False

    def _said(self, prompt: str) -> Any:
        return [{"role": "user", "content": prompt}]

    def _options(self) -> dict[str, Any]:
        return {"add_generation_prompt": True, "enable_thinking": False}
