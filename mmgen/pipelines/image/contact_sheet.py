"""A contact sheet: images in a grid, each above two lines of text. Knows thumbnails; no store."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from mmgen.errors import BadRequest

CELL, PAD, LINE = 192, 16, 22  # pixels: an image's place, the space around it, a line of text
COLUMNS = 5
PAPER, PLATE, INK, FAINT = "#ffffff", "#f1f2f4", "#1c1f23", "#6b7280"


@dataclass(frozen=True, eq=False)
class Tile:
    """An image and the two lines below it."""

    image: Image.Image
    title: str
    note: str = ""


def sheet(tiles: Sequence[Tile], heading: str = "", cell: int = CELL, columns: int = COLUMNS) -> Image.Image:
    """All of them in rows of `columns` at most; texts that are too long are cut in the middle. `cell`: pixels a side."""
    columns = min(columns, max(1, len(tiles)))
    rows, top = math.ceil(len(tiles) / columns), PAD + (LINE + PAD if heading else 0)
    across, down = cell + PAD, cell + 2 * LINE + PAD + 6
    page = Image.new("RGB", (PAD + columns * across, top + rows * down), PAPER)
    pen, large, small = ImageDraw.Draw(page), ImageFont.load_default(17), ImageFont.load_default(14)
    if heading:
        pen.text((PAD, PAD), cut(heading, large, page.width - 2 * PAD), INK, large)
    for number, tile in enumerate(tiles):
        left, upper = PAD + number % columns * across, top + number // columns * down
        pen.rounded_rectangle((left, upper, left + cell - 1, upper + cell - 1), 6, PLATE)
        small_image = fitted(tile.image, cell)
        page.paste(small_image, (left + (cell - small_image.width) // 2, upper + (cell - small_image.height) // 2))
        pen.text((left, upper + cell + 6), cut(tile.title, small, cell), INK, small)
        pen.text((left, upper + cell + 6 + LINE), cut(tile.note, small, cell), FAINT, small)
    return page


def save(page: Image.Image, path: Path) -> None:
    """Raises BadRequest where the file cannot be written; `output_paths.check_png` tells so before anything is computed."""
    try:
        page.save(path, "PNG")
    except OSError as why:
        raise BadRequest(f"{path} cannot be written ({why.strerror or why}); give another place") from None


def fitted(image: Image.Image, cell: int = CELL) -> Image.Image:
    """As large as its place allows; small ones by whole factors, so that pixels stay sharp."""
    longer = max(image.size)
    scale = cell / longer if longer > cell // 2 else cell // longer
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    how = Image.Resampling.NEAREST if longer <= cell // 2 else Image.Resampling.LANCZOS
    return image.convert("RGB").resize(size, how)


def cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text, or its beginning and its end where it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    keep, short = len(text), text
    while keep > 2 and font.getlength(short := f"{text[: keep - keep // 2]}...{text[len(text) - keep // 2 :]}") > width:
        keep -= 1
    return short
