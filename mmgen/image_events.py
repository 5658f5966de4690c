"""What a runner tells while an image is drawn; the caller sees the same objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from PIL import Image

from mmgen.deprecated import attributes

if TYPE_CHECKING:
    from torch import Tensor


@attributes(picture="image")
@dataclass(frozen=True)
class Progress:
    """An evaluation of the model is done. Heun takes 2n - 1 of them for n steps."""

    image: int  # its place among the call's images
    step: int  # from 1
    of: int


@dataclass(frozen=True)
class CachedSteps:
    """How many steps of an image were not computed, and by how much the outputs that stood in for them were off at most."""

    image: int  # its place among the call's images
    reused: int
    of: int
    error: float  # relative, L1: against the network's next output


@attributes(picture="image")
@dataclass(frozen=True, eq=False)
class Preview:
    """What an image would be by now: the x0 prediction. It is decoded when somebody looks."""

    index: int  # its place among the call's images
    step: int
    of: int
    latents: Tensor  # (C, h, w), on the CPU
    decode: Callable[[Tensor], Tensor] | None = None  # latents -> (3, H, W) in [-1, 1]; the client

    @cached_property
    def image(self) -> Image.Image:
        """Waits for the decoder. Raises Cancelled once the request was cancelled."""
        assert self.decode is not None
        return image_of(self.decode(self.latents))


def image_of(pixels: Tensor) -> Image.Image:
    """(3, H, W) in [-1, 1] -> an RGB image."""
    values: Any = ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    return Image.fromarray(values)
