"""Decodes image files fully, applies EXIF orientation and converts to RGB. Pillow's exceptions become UnreadableFile."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mmgen.errors import TooLarge, UnreadableFile
from mmgen.ingest import loaders
from mmgen.interfaces import Scalar

SUFFIXES = "png jpg jpeg jfif webp gif avif heic heif bmp tif tiff".split()  # noqa: SIM905  a list of words
FORMATS = "PNG JPEG WEBP GIF AVIF BMP TIFF ICO PPM TGA".split()  # noqa: SIM905
"""What Pillow may read. Others of its formats run programs (EPS) or hold no images of their own (WMF)."""
HEIC = re.compile(rb"....ftyp(heic|heix|heim|heis|hevc|hevx|mif1|msf1)", re.DOTALL)
SVG = re.compile(rb"\s*(<\?xml[^>]*>|<!--.*?-->|<!DOCTYPE svg[^>]*>|\s)*<svg\b", re.DOTALL | re.I)
EXIF_IFD, DESCRIPTION, CHANGED, TAKEN = 0x8769, 0x010E, 0x0132, 0x9003


def load(path: Path) -> Image.Image:
    """A file's image; see `decode`. Raises NotFound for a missing file, UnreadableFile and TooLarge for the rest."""
    return decode(loaders.read_bytes(path), str(path))


def decode(data: bytes, name: str) -> Image.Image:
    """The image in these bytes, the first of an animation; fully decoded and rotated by EXIF.

    Raises, beginning with `name`:
        TooLarge: more pixels than Pillow's limit allows, told before they are decoded.
        UnreadableFile: no image, half of one, a drawing (SVG), or a format that this installation cannot read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage, and of large images: both are told below
            with Image.open(io.BytesIO(data), formats=_formats(data)) as image:
                _check_size(image, name)
                image.load()
                return ImageOps.exif_transpose(image)
    except TooLarge:
        raise
    except Image.DecompressionBombError:
        raise _bomb(name) from None
    except UnidentifiedImageError:
        raise UnreadableFile(f"{name} {_refusal(data)}") from None
    except Exception as why:  # Pillow lets all kinds of errors out of damaged files
        raise UnreadableFile(f"{name} cannot be read as an image ({' '.join(str(why).split())}); save it anew") from None


def rgb(image: Image.Image) -> Image.Image:
    """In 8-bit RGB: what is transparent shows white, 16 bits are scaled and not cut off."""
    if image.has_transparency_data:
        front = image.convert("RGBA")
        image = Image.new("RGBA", front.size, "white")
        image.alpha_composite(front)
    elif image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image)
    return image.convert("RGB")


def describe(image: Image.Image) -> tuple[str, dict[str, Scalar]]:
    """The file's own description: a caption or "", and metadata: width, height; by EXIF taken (ISO 8601) and year."""
    found: dict[str, Scalar] = {"width": image.width, "height": image.height}
    try:
        exif = image.getexif()
        taken, described = exif.get_ifd(EXIF_IFD).get(TAKEN) or exif.get(CHANGED) or "", exif.get(DESCRIPTION) or ""
    except Exception:  # damaged EXIF is no reason to refuse the image
        return "", found
    if date := re.match(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d:\d\d:\d\d)", str(taken)):
        found |= {"taken": f"{date[1]}-{date[2]}-{date[3]}T{date[4]}", "year": int(date[1])}
    return plain(str(described)), found


def plain(words: str) -> str:
    """One line of text that SQLite can store."""
    return " ".join(words.encode("utf-8", "ignore").decode().replace("\0", " ").split())


def _check_size(image: Image.Image, name: str) -> None:
    if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        raise _bomb(name)


def _bomb(name: str) -> TooLarge:
    return TooLarge(f"{name} has more than {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller first")


def _formats(data: bytes) -> list[str]:
    if not HEIC.match(data):
        return FORMATS
    try:
        import pillow_heif
    except ImportError:
        return FORMATS
    pillow_heif.register_heif_opener()
    return ["HEIF"]


def _refusal(data: bytes) -> str:
    if SVG.match(data[:4096]):
        return "is an SVG drawing, which has no pixels; export it as PNG first"
    if HEIC.match(data):
        return 'is HEIC, which needs another package: pip install "mmgen[heic]", or save it as JPEG'
    return "is no image; give a PNG, JPEG or WebP file"


def _eight_bits(image: Image.Image) -> Image.Image:
    """16 bits by their range; what has no range of its own (32 bits, floating point) from its least to its greatest value."""
    values: np.ndarray[Any, Any] = np.asarray(image, dtype=np.float32)
    low, high = (0.0, 65535.0) if image.mode.startswith("I;16") else (float(values.min()), float(values.max()))
    if image.mode == "I" and low >= 0 and high <= 65535:  # how older Pillows open 16 bits
        low, high = 0.0, 65535.0 if high > 255 else 255.0
    return Image.fromarray(((values - low) * (255 / max(high - low, 1e-9))).round().clip(0, 255).astype(np.uint8))
