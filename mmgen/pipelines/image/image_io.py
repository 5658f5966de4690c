"""Images from files, and between Pillow and tensors. Knows no model."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageCms, ImageOps

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
    """(3, height, width) in [-1, 1]: cut to the ratio of `size` (width, height) and scaled; what is transparent is white.

    Colours of another space, by the image's ICC profile, are converted to sRGB.
    """
    return scaled(srgb(image), size) * 2 - 1


def srgb(image: Image.Image) -> Image.Image:
    """In 8-bit RGB. A profile that is damaged, or of another kind of image, is passed over, as browsers do."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image_files.rgb(image)
    plain = image if image.mode in ("L", "CMYK") else image_files.rgb(image)
    try:
        space = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(plain, space, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image_files.rgb(image)
    assert converted is not None
    return converted


def painted(image: Image.Image) -> Image.Image:
    """A mask in grey: whatever the colour, as bright as its brightest channel. What is transparent is not painted: black."""
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    bare = image.convert("RGBA").convert("RGB") if alpha is not None else image_files.rgb(image)
    red, green, blue = bare.split()
    bright = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    return bright if alpha is None else ImageChops.multiply(bright, alpha)


def mask(image: Image.Image, size: tuple[int, int]) -> Tensor:
    """(1, height, width) in [0, 1], white is 1; cut and scaled as `colours` does."""
    return scaled(painted(image), size)


def scaled(image: Image.Image, size: tuple[int, int]) -> Tensor:
    """(C, H, W) in [0, 1]: cut to the ratio of `size` (width, height) and scaled."""
    import numpy as np
    import torch

    if image.size != size:
        image = ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    values = torch.from_numpy(np.array(image, dtype=np.float32)) / 255
    return values[None] if values.dim() == 2 else values.permute(2, 0, 1)
