"""Images from files, and between Pillow and tensors. Knows no model."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from mmgen.errors import NotFound
from mmgen.image_params import ImageSource
from mmgen.ingest import image_files

if TYPE_CHECKING:
    from torch import Tensor

Given = ImageSource
"""An image as a caller has it."""


def read(given: Given) -> Image.Image:
    """An opened image with all its pixels, turned as its EXIF says.

    Raises NotFound for a missing file, UnreadableFile for one that is no whole image, TooLarge for more pixels than Pillow's
    limit allows, before they are decoded.
    """
    if isinstance(given, Image.Image):
        return given
    path = Path(given).expanduser()
    try:
        return image_files.load(path)
    except NotFound:
        raise NotFound(f"image {path} does not exist; check the path") from None


def name_of(given: Given) -> str:
    """The file's name; of an opened image what Pillow remembers."""
    return Path(str(getattr(given, "filename", "") or "") if isinstance(given, Image.Image) else given).name


def digest(image: Image.Image) -> str:
    """sha256 of an image's mode, size and pixels: the same for a copy in another lossless format."""
    head = f"{image.mode} {image.width} {image.height} ".encode()
    return hashlib.sha256(head + image.tobytes()).hexdigest()


def colours(image: Image.Image, size: tuple[int, int]) -> Tensor:
    """(3, height, width) in [-1, 1]: cut to the ratio of `size` (width, height) and scaled; what is transparent is white."""
    return _tensor(image_files.rgb(image), size) * 2 - 1


def mask(image: Image.Image, size: tuple[int, int]) -> Tensor:
    """(1, height, width) in [0, 1], white is 1; cut and scaled as `colours` does."""
    return _tensor(image.convert("L"), size)


def _tensor(image: Image.Image, size: tuple[int, int]) -> Tensor:
    """(C, H, W) in [0, 1]"""
    import numpy as np
    import torch

    if image.size != size:
        image = ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    values = torch.from_numpy(np.array(image, dtype=np.float32)) / 255
    return values[None] if values.dim() == 2 else values.permute(2, 0, 1)
