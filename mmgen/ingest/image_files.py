"""Decodes image files fully, applies EXIF orientation and converts to RGB. Pillow's exceptions become UnreadableFile."""

from __future__ import annotations

import io
import math
import re
import threading
import warnings
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from mmgen.errors import TooLarge, UnreadableFile
from mmgen.interfaces import Scalar

SUFFIXES = "png jpg jpeg jfif webp gif avif heic heif bmp tif tiff".split()  # noqa: SIM905  a list of words
FORMATS = "PNG JPEG WEBP GIF AVIF BMP TIFF ICO PPM TGA".split()  # noqa: SIM905
"""What Pillow may read. Others of its formats run programs (EPS) or hold no images of their own (WMF)."""
HEIC = re.compile(rb"....ftyp(heic|heix|heim|heis|hevc|hevx|mif1|msf1)", re.DOTALL)
SVG = re.compile(rb"\s*(<\?xml[^>]*>|<!--.*?-->|<!DOCTYPE svg[^>]*>|\s)*<svg\b", re.DOTALL | re.I)
EXIF_IFD, DESCRIPTION, CHANGED, TAKEN, ORIENTATION = 0x8769, 0x010E, 0x0132, 0x9003, 0x0112
STRIP = 16  # rows of a reduced image that are made at once
ENOUGH = 2**24  # pixels; no model sees more
ORIGINAL = "original_size"  # in an image's info, where it was reduced: width and height of the file
_large = threading.Lock()


def load(path: Path) -> Image.Image:
    """A file's image; see `decode`. Raises NotFound for a missing file, UnreadableFile and TooLarge for the rest."""
    from mmgen.ingest import loaders  # brings every format of documents: 0.3 s that drawing without an image need not wait

    return decode(loaders.read_bytes(path), str(path))


def decode(data: bytes, name: str, pixels: int | None = None) -> Image.Image:
    """The image in these bytes, the first of an animation; fully decoded and rotated by EXIF.

    pixels: one of more is averaged down to so many at most, by a whole factor, without a full copy in another mode; JPEGs are
        decoded at that size. `describe` goes on telling the file's own size. Such images are decoded one at a time.

    Raises, beginning with `name`:
        TooLarge: more pixels than Pillow's limit allows, told before they are decoded.
        UnreadableFile: no image, half of one, a drawing (SVG), or a format that this installation cannot read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage, and of large images: both are told below
            with Image.open(io.BytesIO(data), formats=_formats(data)) as image:
                _check_size(image, name)
                factor = 1 if pixels is None else math.ceil(math.sqrt(image.width * image.height / pixels))
                if factor > 1:
                    with _large:
                        return ImageOps.exif_transpose(_reduced(image, factor))
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


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    """Averages of `factor` x `factor` pixels, a strip of the image at a time."""
    size, info = image.size, dict(image.info)
    orientation = image.getexif().get(ORIENTATION)
    image.draft(None, (image.width // factor, image.height // factor))  # JPEG: decoded at a half to an eighth
    factor = max(1, round(factor * image.width / size[0]))
    image.load()
    deep = image.mode.startswith("I;16")
    mode = "RGBA" if image.has_transparency_data else image.mode
    mode = "RGB" if mode in ("P", "CMYK", "YCbCr") else "L" if mode == "1" or deep else mode
    width, height = -(-image.width // factor), -(-image.height // factor)
    out, rows = Image.new(mode, (width, height)), STRIP * factor
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        part = strip.convert("I" if deep else mode).reduce(factor)
        out.paste(part.point(lambda value: value * (1 / 257)).convert("L") if deep else part, (0, top // factor))
    out.info = {key: value for key, value in info.items() if key != "transparency"} | {ORIGINAL: size}
    if orientation is not None:
        out.getexif()[ORIENTATION] = orientation
    return out


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
    width, height = image.info.get(ORIGINAL, image.size)
    if (width > height) != (image.width > image.height):  # rotated since
        width, height = height, width
    found: dict[str, Scalar] = {"width": width, "height": height}
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
    import numpy as np

    values: np.ndarray[Any, Any] = np.asarray(image, dtype=np.float32)
    low, high = (0.0, 65535.0) if image.mode.startswith("I;16") else (float(values.min()), float(values.max()))
    if image.mode == "I" and low >= 0 and high <= 65535:  # how older Pillows open 16 bits
        low, high = 0.0, 65535.0 if high > 255 else 255.0
    return Image.fromarray(((values - low) * (255 / max(high - low, 1e-9))).round().clip(0, 255).astype(np.uint8))
