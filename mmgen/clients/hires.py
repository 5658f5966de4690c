"""Hires fix: an image drawn once more at a larger size, begun with itself; and the stages that a row goes through."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mmgen.errors import BadRequest
from mmgen.image_params import HiresFix, ImageParams

if TYPE_CHECKING:
    from torch import Tensor


def stages(params: ImageParams, upscaled: bool, enlarged: bool = False) -> list[str]:
    """Jobs of a row, one after another. An upscaler stands before the second drawing, or at the end; the model's own
    enlarger behind what it draws last."""
    upscale, enlarge = ["upscale"] if upscaled else [], ["enlarge"] if enlarged else []
    if params.hires is not None:
        return ["denoise", "decode", *upscale, "again", "decode", *enlarge]
    return ["denoise", "decode", *enlarge, *upscale]


def larger(params: ImageParams, step: int) -> ImageParams:
    """The second drawing, without what it begins with. `step`: pixels of which a side is a multiple.

    Raises BadRequest for a call that has a mask or control images, which are of the first size.
    """
    assert params.hires is not None
    if params.mask is not None or params.mask_pixels is not None:
        raise BadRequest("hires draws the whole image again, and a mask leaves parts of it; leave one of them out")
    if params.controls:
        raise BadRequest("hires does not go with control images, which are of the first size; leave one of them out")
    asked = HiresFix.read(params.hires)
    width, height = (max(step, step * round(asked.scale * side / step)) for side in params.size)
    return replace(params, width=width, height=height, strength=asked.strength, hires=None)


def resized(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """(3, H, W) in [-1, 1] -> (3, height, width), bicubic; `size`: width and height."""
    import torch.nn.functional as F

    width, height = size
    if pixels.shape[-2:] == (height, width):
        return pixels
    return F.interpolate(pixels[None], (height, width), mode="bicubic", antialias=True).clamp(-1, 1)[0]
