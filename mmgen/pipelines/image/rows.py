"""The rows of an image call: each with its size, seed and the image that it begins with."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mmgen.errors import BadRequest
from mmgen.image_params import ImageParams
from mmgen.pipelines.image import image_io

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmgen.clients.image_base import ImageClient


def started(params: ImageParams, client: ImageClient, source: Image | None, mask: Image | None) -> ImageParams:
    """With the image and the mask as tensors, in the size that was asked for or else suits the model."""
    if source is None:
        return params
    width, height = client.fit(*source.size)
    size = (params.width or width, params.height or height)
    return replace(
        params,
        width=size[0],
        height=size[1],
        pixels=image_io.colours(source, size),
        mask_pixels=None if mask is None else image_io.mask(mask, size),
    )


def settle(asked: Sequence[ImageParams], client: ImageClient, source: Image | None, mask: Image | None) -> list[ImageParams]:
    """Each as the model draws it; those of one size share the image that they begin with."""
    begun: dict[tuple[int | None, int | None], ImageParams] = {}
    for one in asked:
        if (one.width, one.height) not in begun:
            begun[one.width, one.height] = started(one, client, source, mask)
    begin = [begun[one.width, one.height] for one in asked]
    return [
        client.resolved(replace(one, width=at.width, height=at.height, pixels=at.pixels, mask_pixels=at.mask_pixels))
        for one, at in zip(asked, begin, strict=True)
    ]


def seeds_of(asked: Sequence[ImageParams]) -> list[int]:
    """Of every image that is drawn: successive ones, or where the call is a plot each cell's own, the same if none is told."""
    if not (asked[0].x or asked[0].y):
        return seeds_from(asked[0].seed, sum(one.n * one.best_of for one in asked))
    (common,) = seeds_from(None, 1)
    return [common if one.seed in (None, -1) else one.seed for one in asked]


def seeds_from(seed: int | None, count: int) -> list[int]:
    """`seed` and its successors; without one a short one is drawn."""
    first = secrets.randbelow(2**32) if seed is None or seed == -1 else seed
    if first + count > 2**63:
        raise BadRequest(f"seed is {first}; with {count} images it can be 0 to {2**63 - count}")
    return list(range(first, first + count))
