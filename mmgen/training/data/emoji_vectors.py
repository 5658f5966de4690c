"""The emoji data set's vectors, `vectors.zip`: an SVG for every image, drawn at any size."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mmgen.errors import NotFound, UnreadableFile
from mmgen.training.data.emoji_dataset import SIDE

ARCHIVE = "vectors.zip"
DRAWN = 512  # pixels a side before the box filter: drawing at 64 directly leaves jagged edges


def write(folder: Path, vectors: Mapping[str, str]) -> None:
    """An image's file in the data set -> its SVG. Fixed time stamps: the same vectors give the same archive."""
    with zipfile.ZipFile(folder / ARCHIVE, "w") as archive:
        for file, svg in vectors.items():
            entry = zipfile.ZipInfo(_entry(file), (2026, 1, 1, 0, 0, 0))
            archive.writestr(entry, svg, zipfile.ZIP_DEFLATED)


def read(folder: Path, files: Sequence[str]) -> Iterator[str]:
    """The SVG of each of the data set's files. Raises NotFound where there are none, UnreadableFile where one is damaged."""
    path, name = folder / ARCHIVE, ""
    if not path.is_file():
        raise NotFound(
            f"{folder} keeps no {ARCHIVE}, as sets built before had none; build one in a new folder: mmgen data emoji NEW"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            for file in files:
                name = _entry(file)
                yield archive.read(name).decode("utf-8")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as why:
        raise UnreadableFile(f"{path}: {name} is damaged ({why}); build the set anew: mmgen data emoji NEW") from None


def _entry(file: str) -> str:
    return str(Path(file).with_suffix(".svg"))


def rasterise(svg: str, side: int = SIDE) -> np.ndarray:
    """(side, side, 4) uint8 RGBA: drawn at 512x512, then box-filtered in premultiplied alpha, in whole numbers.

    side: a divisor of 512. Raises NotFound without resvg-py.
    """
    try:
        import resvg_py
    except ImportError:
        raise NotFound("resvg-py is not installed; pip install resvg-py") from None
    square = svg.replace("<svg ", f'<svg width="{DRAWN}" height="{DRAWN}" ', 1)  # what is not square stands in its middle
    drawn = resvg_py.svg_to_bytes(svg_string=square)
    with Image.open(io.BytesIO(bytes(drawn))) as image:
        large = np.asarray(image.convert("RGBA"), dtype=np.int64)
    cell = DRAWN // side
    alpha = large[..., 3:]
    premultiplied = np.concatenate((large[..., :3] * alpha, alpha), axis=-1)
    total = premultiplied.reshape(side, cell, side, cell, 4).sum((1, 3))  # (512, 512, 4) -> (side, side, 4)
    seen = total[..., 3:]
    small = np.concatenate((total[..., :3] / np.maximum(seen, 1), seen / cell**2), axis=-1)
    pixels: np.ndarray = np.where(np.rint(small[..., 3:]) > 0, np.rint(small), 0).astype(np.uint8)
    return pixels
