"""Thumbnails and perceptual hashes (dHash) of images, to find near-duplicates."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

THUMBNAIL = 256  # pixels of the longer side
SMALL = 96  # pixels of the longer side: kept without loss
SIDE = 512  # pixels of the shorter side: encoders look at less
NEAR = 6  # bits of 64
GRID = 12
CLOSE = 20  # the greatest difference of any place of the grid, of 255
"""Of 1,646 emoji of 64 x 64 pixels, clock faces and heroes among them, 1,486 pairs have near hashes; the most alike hundredth
of those differs by 36. A JPEG of quality 30 differs from its emoji by 19 at most, from a photograph by 4."""
FLAT = 2  # grey levels: a row that changes by less has no direction to be hashed


def dhash(image: Image.Image) -> int:
    """64 bits, signed: whether grey rises from each place to the next of 8 rows of 9 (the difference hash, Krawetz 2013)."""
    grey: np.ndarray[Any, Any] = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    bits = np.packbits(grey[:, 1:] - grey[:, :-1] > FLAT)  # (8, 8) -> 8 bytes
    return int.from_bytes(bits.tobytes(), "big", signed=True)


def near(hashed: int, others: np.ndarray) -> np.ndarray:
    """Places of `others` (N,) int64 that differ in NEAR bits at most: candidates, as hashes know no colours."""
    differing = np.bitwise_xor(others, np.int64(hashed)).view(np.uint64)  # of a signed number the absolute value's bits count
    return np.flatnonzero(np.bitwise_count(differing) <= NEAR)


def same(one: bytes, other: bytes) -> bool:
    """Whether two thumbnails look alike, everywhere and in colour."""
    return float(np.abs(_grid(one) - _grid(other)).mean(-1).max()) <= CLOSE


def thumbnail(image: Image.Image) -> bytes:
    """A copy as WebP, THUMBNAIL pixels at most a side."""
    small = image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS, reducing_gap=3.0)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=80, lossless=max(image.size) <= SMALL)
    return out.getvalue()


def reduced(image: Image.Image) -> Image.Image:
    """The same with SIDE pixels at most on its shorter side, so that many can wait in memory."""
    if min(image.size) <= SIDE:
        return image
    scale = SIDE / min(image.size)
    size = round(image.width * scale), round(image.height * scale)
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def opened(thumbnail: bytes) -> Image.Image:
    return Image.open(io.BytesIO(thumbnail)).convert("RGB")


def _grid(thumbnail: bytes) -> np.ndarray:
    return np.asarray(opened(thumbnail).resize((GRID, GRID), Image.Resampling.LANCZOS), dtype=np.int16)
