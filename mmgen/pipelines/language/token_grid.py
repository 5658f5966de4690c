"""A grid of layers by tokens as an image: a colour in every cell, and a word where there is one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmgen.pipelines.language.attention_plot import INK, LETTERS, PAPER, shortened

CELL = (76, 20)  # pixels
MARGIN = 64


def grid_image(
    values: np.ndarray, tokens: Sequence[str], rows: Sequence[str], words: Sequence[Sequence[str]] | None = None
) -> Image.Image:
    """The first row of `values` is at the bottom.

    Args:
        values: (L, N), from 0 (white) to 1 (dark blue).
        tokens: N words below the columns.
        rows: L labels on the left.
        words: L rows of N words in the cells.
    """
    layers, count = values.shape
    font = ImageFont.load_default(LETTERS)
    page = Image.new("RGB", (MARGIN + count * CELL[0] + LETTERS, (layers + 2) * CELL[1]), PAPER)
    draw = ImageDraw.Draw(page)
    for layer in range(layers):
        top = (layers - layer) * CELL[1] - CELL[1] // 2
        draw.text((4, top + 3), rows[layer], INK, font)
        for place in range(count):
            share = float(np.clip(values[layer, place], 0, 1))
            colour = tuple(round(p + (i - p) * share) for p, i in zip(PAPER, INK, strict=True))
            left = MARGIN + place * CELL[0]
            draw.rectangle((left, top, left + CELL[0] - 2, top + CELL[1] - 2), colour, outline=(220, 224, 232))
            if words is not None:
                draw.text((left + 4, top + 3), shortened(words[layer][place]), PAPER if share > 0.5 else INK, font)
    for place, token in enumerate(tokens):
        draw.text((MARGIN + place * CELL[0] + 4, (layers + 1) * CELL[1] - CELL[1] // 2 + 3), shortened(token), INK, font)
    return page
