"""Attention maps as an image: a row for every layer, a column for every head, tokens along the edges. Knows no layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmgen.errors import TooLong

if TYPE_CHECKING:
    from torch import Tensor

    from mmgen.clients.text import TextClient

LETTERS = 11  # height of a line of text
GAP = 8
LEGIBLE = 24  # tokens of a cell that can all be named; of more, every second, third, ...
CELL = 264  # pixels that a cell takes at least, where its tokens allow
WORD = 12  # letters of a token that are shown
MOST = 256  # tokens of a text whose attention is drawn
PAPER, INK = (255, 255, 255), (8, 29, 88)


def attention_image(weights: Tensor | np.ndarray, tokens: Sequence[str], keys: Sequence[str] | None = None) -> Image.Image:
    """(layers, heads, N, M) weights, the words of N tokens and of M keys (None: the same) -> an image.

    White is 0, dark blue is 1; in between by the square root, so that weak attention is seen too.
    """
    maps = np.asarray(weights, dtype=np.float32)
    keys = tokens if keys is None else keys
    layers, heads, rows, columns = maps.shape
    dot = max(1, CELL // max(rows, columns))
    font = ImageFont.load_default(LETTERS - 1)
    left = LETTERS * WORD // 2 + 2 * GAP
    width, height = columns * dot + GAP, rows * dot + GAP + LETTERS
    page = Image.new("RGB", (left + heads * width + GAP, GAP + layers * height + left), PAPER)
    draw = ImageDraw.Draw(page)
    for layer in range(layers):
        top = GAP + layer * height + LETTERS
        for head in range(heads):
            x = left + head * width
            draw.text((x, top - LETTERS - 2), f"layer {layer} head {head}", INK, font)
            page.paste(_cell(maps[layer, head], dot), (x, top))
        for place in _named(rows):
            draw.text((GAP, top + place * dot - 1), shortened(tokens[place]), INK, font)
    labels = _labels([(shortened(keys[place]), place * dot) for place in _named(columns)], left, columns * dot, font)
    for head in range(heads):
        page.paste(labels, (left + head * width, GAP + layers * height))
    return page


def read_again(client: TextClient, text: str, adapter: str | None = None) -> Image.Image:
    """The attention of a model over a text that it reads once more. Raises TooLong, and BadRequest for an encoder-decoder."""
    ids = client.model.encode(text)
    if len(ids) > MOST:
        raise TooLong(f"the text is {len(ids)} tokens; attention is drawn of {MOST} at most, lower --max-tokens")
    return attention_image(client.attention(ids, adapter), [client.model.tokenizer.decode([token]) for token in ids])


def _cell(weights: np.ndarray, dot: int) -> Image.Image:
    """(N, M) -> an image of dots."""
    share = np.sqrt(weights.clip(0, 1))[..., None]
    pixels = np.array(PAPER) * (1 - share) + np.array(INK) * share
    return Image.fromarray(pixels.round().astype(np.uint8)).resize((weights.shape[1] * dot, weights.shape[0] * dot), 0)


def _named(count: int) -> range:
    return range(0, count, -(-count // LEGIBLE))


def shortened(token: str) -> str:
    """A token as it is shown: at most WORD letters, a line feed as \\n, nothing as _."""
    shown = token.replace("\n", "\\n").strip() or "_"
    return shown if len(shown) <= WORD else shown[: WORD - 1] + "."


def _labels(words: list[tuple[str, int]], height: int, width: int, font: Any) -> Image.Image:
    """Words at their places from the left, read from below."""
    lying = Image.new("RGB", (height, width), PAPER)
    draw = ImageDraw.Draw(lying)
    for word, place in words:
        draw.text((height - int(draw.textlength(word, font)) - 2, place - 1), word, INK, font)
    return lying.transpose(Image.Transpose.ROTATE_90)
