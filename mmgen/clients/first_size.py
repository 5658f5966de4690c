"""Rows of a model that makes its images larger, in the size in which they are drawn first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from mmgen.clients import hires

if TYPE_CHECKING:
    from torch import Tensor

    from mmgen.image_params import ControlInput, ImageParams
    from mmgen.models.diffusion.denoiser_base import DenoiserBase

T = TypeVar("T")
Size = tuple[int, int]
"""Width and height."""


def enlarged(params: ImageParams, model: DenoiserBase) -> bool:
    """Whether the model's enlarger takes part in a resolved row."""
    return model.first_size(*params.size) != params.size


def final(params: ImageParams, model: DenoiserBase) -> Size | None:
    """The size to which a row's image is brought behind the enlarger; None: it takes no part."""
    if not enlarged(params, model):
        return None
    return params.size if params.hires is None else hires.larger(params, 1).size


def reduced(rows: Sequence[ImageParams], model: DenoiserBase) -> list[ImageParams]:
    """Resolved rows with their images, masks and control images as they are drawn; what rows share they go on sharing."""
    known: dict[tuple[int, Size], object] = {}

    def once(given: T | None, size: Size, change: Callable[[T, Size], T]) -> T | None:
        key = id(given), size
        if given is not None and key not in known:
            known[key] = change(given, size)
        return known.get(key)  # type: ignore[return-value]

    def first(params: ImageParams) -> ImageParams:
        size = model.first_size(*params.size)
        if size == params.size:
            return params
        return replace(
            params,
            width=size[0],
            height=size[1],
            pixels=once(params.pixels, size, hires.resized),
            mask_pixels=once(params.mask_pixels, size, _reduced_mask),
            controls=tuple(one for given in params.controls if (one := once(given, size, _reduced_control))),
        )

    return [first(params) for params in rows]


def _reduced_mask(mask: Tensor, size: Size) -> Tensor:
    """(1, H, W) -> (1, height, width): a pixel is drawn anew where anything within it is."""
    import torch.nn.functional as F

    return F.adaptive_max_pool2d(mask, size[::-1])


def _reduced_control(given: ControlInput, size: Size) -> ControlInput:
    """With its map in that size; an image prompt has none."""
    import torch.nn.functional as F

    return given if given.pixels is None else replace(given, pixels=F.adaptive_avg_pool2d(given.pixels, size[::-1]))
