"""What a family of diffusion transformers has of its own: how prompts are encoded, the network called, guidance mixed."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from mmgen.errors import BadRequest, TooLong
from mmgen.models.diffusion import guidance
from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.diffusion.dit import flow_schedule
from mmgen.models.diffusion.noise_levels import NoiseLevels
from mmgen.models.diffusion.solver_table import SolverTable


class DiTFamily(ABC):
    """A pipeline of diffusers, taken apart. Latents are (B, C, h, w) for all families; packing is their own affair.

    Nothing here loops over steps, and a row's numbers are meant to be the same whatever other rows there are.
    """

    guided_by_default = True
    edits = False  # it changes an image as the prompt says: conditions bring its latents
    prompts_see = False  # prompts are embedded beside that image: see `embed_seeing`
    references = False  # it reads further images besides that one
    sigmas_given = True  # the pipeline gives its scheduler levels from 1 to 1 / steps
    patch = 2  # latent places a side make a token
    longest = 512  # tokens of a prompt
    counts_with = "tokenizer"  # the pipeline's part that counts them
    negative_unheard = ""  # why a negative prompt cannot be heard; empty: it can
    negative_apart = False  # negative prompts are embedded otherwise than prompts: see `embed_negative`

    def __init__(self, pipeline: Any) -> None:
        self.pipeline, self.network, self.scheduler = pipeline, pipeline.transformer, pipeline.scheduler
        self.config = pipeline.transformer.config
        self.called = inspect.signature(pipeline.__call__).parameters

    @property
    def channels(self) -> int:
        """Of the latents."""
        return int(self.config.in_channels)

    @property
    def hears_guidance(self) -> bool:
        """The network is told the scale itself: there are no unconditional rows."""
        return bool(self.config.get("guidance_embeds", False))

    @property
    def solver(self) -> str:
        """Unless the caller asks for another."""
        name = type(self.scheduler).__name__
        return "heun" if "Heun" in name else "dpm++2m" if "Multistep" in name else "euler"

    @property
    def steps(self) -> int:
        return int(self.called["num_inference_steps"].default)

    @property
    def guidance(self) -> float:
        """What the pipeline takes unless it is told otherwise."""
        return float(self.called["guidance_scale"].default)

    @property
    def sample_size(self) -> int | None:
        """Latent places a side that its pipeline draws unless it is told otherwise; None: it does not say."""
        return getattr(self.pipeline, "default_sample_size", None)

    def tokens(self, height: int, width: int) -> int:
        """Of a latent of that size."""
        return height * width // int(self.config.get("patch_size", 2)) ** 2

    @abstractmethod
    def embed(self, prompt: str) -> Conditioning:
        """One prompt by itself, so that no other one pads it."""

    def embed_seeing(self, prompt: str, images: Sequence[Tensor]) -> Conditioning:
        """One prompt beside the image that it changes and those that it refers to, (3, H, W) in [-1, 1] each."""
        return self.embed(prompt)

    def reference_size(self, width: int, height: int, area: int) -> tuple[int, int]:
        """Width and height in which an image of these sides is read where one of so many pixels is drawn."""
        raise NotImplementedError

    def embed_negative(self, prompt: str) -> Conditioning:
        """What the unconditional rows are told."""
        return self.embed(prompt)

    @abstractmethod
    def predict(self, x: Tensor, timesteps: Tensor, told: Conditioning, scale: Tensor | None) -> Tensor:
        """The velocity `noise - image`, or what else the scheduler expects.

        Args:
            x: (B, C, h, w).
            timesteps: (B,), as the scheduler counts them.
            told: B conditions, stacked; a mask where prompts are of different lengths.
            scale: (B,) guidance scales, for networks with `hears_guidance`.
        """

    def guide(self, outputs: Tensor, guided: Tensor, scale: Tensor, rescale: Tensor) -> Tensor:
        """See `mmgen.models.diffusion.guidance.guide`."""
        return guidance.guide(outputs, guided, scale, rescale)

    def levels(self, steps: int, height: int, width: int) -> NoiseLevels:
        """Of a latent of that size."""
        given = np.linspace(1.0, 1 / steps, steps) if self.sigmas_given else None
        return flow_schedule.levels(
            self.scheduler, steps, given, flow_schedule.shift_by_size(self.scheduler.config, self.shifted_by(height, width))
        )

    def shifted_by(self, height: int, width: int) -> int:
        """What the scheduler's shift depends on."""
        return self.tokens(height, width)

    def table(self, solver: str, steps: int, strength: float, height: int, width: int) -> SolverTable:
        """Raises BadRequest for what the schedule does not have."""
        if not 1 <= steps <= flow_schedule.MAX_STEPS:
            raise BadRequest(f"steps is {steps}; use 1 to {flow_schedule.MAX_STEPS}")
        return flow_schedule.tabulate(self.levels(steps, height, width), solver, strength)

    def check_length(self, prompt: str) -> None:
        """TooLong for a prompt that the pipeline would cut in silence."""
        if (tokens := self.count(prompt) or 0) > self.longest:
            raise TooLong(f"the prompt is {tokens} tokens, the model reads {self.longest}; shorten it")

    def count(self, prompt: str) -> int | None:
        """Tokens of a prompt; None where the pipeline has nothing to count them with."""
        tokenizer = getattr(self.pipeline, self.counts_with, None)
        return None if tokenizer is None else len(tokenizer(prompt, verbose=False)["input_ids"])


def pack(latents: Tensor) -> Tensor:
    """Squares of 2 x 2 as tokens: (B, C, h, w) -> (B, h w / 4, 4 C), a token's numbers ordered by channel."""
    return F.pixel_unshuffle(latents, 2).flatten(2).transpose(1, 2)


def unpack(tokens: Tensor, height: int, width: int) -> Tensor:
    """The way back: (B, h w / 4, 4 C) -> (B, C, h, w)."""
    return F.pixel_shuffle(tokens.transpose(1, 2).unflatten(2, (height // 2, width // 2)), 2)


def as_long(outputs: Tensor, conditional: Tensor, dim: int) -> Tensor:
    """Guided outputs with the length of the conditional ones along a dimension: guidance turns, and does not stretch."""
    lengths: tuple[Tensor, Tensor] = (conditional.norm(dim=dim, keepdim=True), outputs.norm(dim=dim, keepdim=True))
    return outputs * (lengths[0] / lengths[1])
