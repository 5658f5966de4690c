"""Images of one call side by side: a contact sheet with their seeds, or the cells of an X/Y plot between labelled axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

from mmgen.pipelines.image.axes import Axis
from mmgen.pipelines.image.contact_sheet import CELL, FAINT, INK, LINE, PAD, PAPER, PLATE, Tile, cut, fitted, sheet

LARGEST = 512  # pixels a side of an image's place


def drawn(
    images: Mapping[int, Image.Image], seeds: Sequence[int], prompts: Sequence[str], x: str | None = None, y: str | None = None
) -> Image.Image:
    """All images of a call by their places, those that are missing left blank.

    Args:
        seeds: of every place.
        prompts: of the call, in turn for as many places each; where they differ they are told below the images.
        x, y: the axes of a plot.
    """
    if x or y:
        columns = Axis.read(x).labels() if x else [""]
        rows = Axis.read(y).labels() if y else [""]
        return plot(images, columns, rows, f"{prompts[0]} (seed {seeds[0]})" if len(set(seeds)) == 1 else prompts[0])
    notes = [prompts[n * len(prompts) // len(seeds)] for n in range(len(seeds))]
    heading = prompts[0] if len(set(prompts)) == 1 else ""
    blank = Image.new("RGB", (1, 1), PLATE)
    tiles = [
        Tile(images.get(n, blank), f"seed {seed}", "" if heading else note)
        for n, (seed, note) in enumerate(zip(seeds, notes, strict=True))
    ]
    return sheet(tiles, heading, cell(images), math.ceil(math.sqrt(len(tiles))))


def plot(images: Mapping[int, Image.Image], columns: Sequence[str], rows: Sequence[str], heading: str = "") -> Image.Image:
    """Images row by row, the columns' labels above them, the rows' at their left."""
    side = cell(images)
    large, small = ImageFont.load_default(17), ImageFont.load_default(15)
    left = PAD + (min(2 * CELL, math.ceil(max(map(small.getlength, rows)))) + PAD if any(rows) else 0)
    top = PAD + (LINE + PAD if heading else 0) + (LINE + 6 if any(columns) else 0)
    page = Image.new("RGB", (left + len(columns) * (side + PAD), top + len(rows) * (side + PAD)), PAPER)
    pen = ImageDraw.Draw(page)
    if heading:
        pen.text((PAD, PAD), cut(heading, large, page.width - 2 * PAD), FAINT, large)
    for number, label in enumerate(columns):
        text = cut(label, small, side)
        middle = left + number * (side + PAD) + side / 2
        pen.text((middle, top - LINE), text, INK, small, anchor="ma")
    for number, label in enumerate(rows):
        text = cut(label, small, 2 * CELL)
        pen.text((left - PAD, top + number * (side + PAD) + side / 2), text, INK, small, anchor="rm")
    for place in range(len(columns) * len(rows)):
        row, column = divmod(place, len(columns))
        x, y = left + column * (side + PAD), top + row * (side + PAD)
        pen.rectangle((x, y, x + side - 1, y + side - 1), PLATE)
        if place in images:
            shown = fitted(images[place], side)
            page.paste(shown, (x + (side - shown.width) // 2, y + (side - shown.height) // 2))
    return page


def cell(images: Mapping[int, Image.Image]) -> int:
    """Pixels a side of every image's place: the largest image's, within limits."""
    return min(LARGEST, max([CELL, *(max(one.size) for one in images.values())]))
