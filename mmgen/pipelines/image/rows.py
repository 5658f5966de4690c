"""The rows of an image call: each with its size, seed and the image that it begins with."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from mmgen.errors import BadRequest
from mmgen.image_params import ControlInput, ImageParams
from mmgen.pipelines.image import control_images, image_io, only_masked

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmgen.clients.image_base import ImageClient


def started(
    params: ImageParams,
    client: ImageClient,
    source: Image | None,
    mask: Image | None,
    controls: Sequence[ControlInput] = (),
) -> ImageParams:
    """With the image, the mask and control images as tensors, in the size that was asked for or else suits the model.

    The ratio is that of the image, or else of the first control image.
    """
    over = [one for one in controls if client.overlays(one)]
    if source is None and not over:
        return replace(params, controls=tuple(controls))
    width, height = client.fit(*(over[0].image if source is None else source).size)
    size, box = (params.width or width, params.height or height), None
    if params.only_masked is not None and source is not None and mask is not None:
        box, whole = only_masked.region(mask, params.only_masked, size), source.size
        source, mask = only_masked.cut(source, box, size), only_masked.cut(mask, box, size)
        part = partial(only_masked.part_of, whole=whole, box=box, size=size)
        ready = tuple(control_images.sized(one, size, part) if one in over else one for one in controls)
    else:
        ready = tuple(control_images.sized(one, size) if one in over else one for one in controls)
    params = replace(params, width=size[0], height=size[1], controls=ready, region=box)
    if source is None:
        return params
    further = [image_io.read(one) for one in params.reference_image]
    return replace(
        params,
        references=tuple(image_io.colours(one, client.reference_size(*one.size, size[0] * size[1])) for one in further),
        pixels=image_io.colours(source, size),
        mask_pixels=None if mask is None else image_io.mask(mask, size),
    )


def settle(
    asked: Sequence[ImageParams],
    client: ImageClient,
    source: Image | None,
    mask: Image | None,
    controls: Sequence[ControlInput] = (),
) -> list[ImageParams]:
    """Each as the model draws it; those of one size share the images that they begin with and are controlled by."""
    begun: dict[tuple[int | None, int | None], ImageParams] = {}
    for one in asked:
        if (one.width, one.height) not in begun:
            begun[one.width, one.height] = started(one, client, source, mask, controls)
    begin = [begun[one.width, one.height] for one in asked]
    names = ("width", "height", "pixels", "mask_pixels", "controls", "region", "references")
    common = [{name: getattr(at, name) for name in names} for at in begin]
    return [client.resolved(replace(one, **at)) for one, at in zip(asked, common, strict=True)]


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
