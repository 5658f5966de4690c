"""Inpainting of the masked part alone ("only masked" of A1111): cut out with some padding, drawn at full size, pasted back."""

from __future__ import annotations

from PIL import Image, ImageOps

from mmgen.pipelines.image import image_io

Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels."""


def region(mask: Image.Image, padding: int, size: tuple[int, int]) -> Box:
    """Of the image that is drawn: what the mask paints with `padding` pixels around it, widened to the ratio of `size`.

    Within the image, so that a part beside its edges may have another ratio than `size`, as in A1111.
    mask: grey, something of it painted.
    """
    painted = mask.getbbox()
    assert painted is not None
    left, top, right, bottom = painted
    left, right = max(0, left - padding), min(mask.width, right + padding)
    top, bottom = max(0, top - padding), min(mask.height, bottom + padding)
    ratio = size[0] / size[1]
    if (right - left) / (bottom - top) > ratio:
        top, bottom = widened(top, bottom, round((right - left) / ratio), mask.height)
    else:
        left, right = widened(left, right, round((bottom - top) * ratio), mask.width)
    return left, top, right, bottom


def widened(first: int, last: int, length: int, most: int) -> tuple[int, int]:
    """`first` to `last` made `length` long about its middle, moved and at last cut to lie between 0 and `most`."""
    missing = max(0, length - (last - first))
    first, last = first - missing // 2, last + missing - missing // 2
    moved = min(max(0, -first), max(0, most - last)) - min(max(0, last - most), max(0, first))
    return max(0, first + moved), min(most, last + moved)


def cut(image: Image.Image, box: Box, size: tuple[int, int]) -> Image.Image:
    """That part of it, at the size that is drawn; its colour profile goes along."""
    part = image.crop(box)
    if part.mode not in ("L", "RGB", "RGBA", "CMYK"):
        part = part.convert("RGBA" if part.has_transparency_data else "RGB")
    made = part.resize(size, Image.Resampling.LANCZOS)
    made.info.update(image.info)
    return made


def part_of(image: Image.Image, whole: tuple[int, int], box: Box, size: tuple[int, int]) -> Image.Image:
    """The same part of another image, which is cut and scaled to the size of the whole one first."""
    return cut(image if image.size == whole else ImageOps.fit(image, whole, Image.Resampling.LANCZOS), box, size)


def pasted(drawn: Image.Image, source: Image.Image, mask: Image.Image, box: Box) -> Image.Image:
    """The whole image with what was drawn in its place; where the mask is black, and outside the box, it stays as it is."""
    whole = image_io.srgb(source).copy()
    left, top, right, bottom = box
    part = drawn.convert("RGB").resize((right - left, bottom - top), Image.Resampling.LANCZOS)
    whole.paste(part, (left, top), mask.crop(box))
    return whole
