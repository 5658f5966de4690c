"""The emoji images in memory, with the name, vendor and colours of each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmgen.errors import BadRequest, nearest
from mmgen.training.data import emoji_dataset

SIDE = emoji_dataset.SIDE
COLOURS = {
    "white": (255, 255, 255),  # first: what stands behind an image whose caption names no background
    "red": (220, 40, 40),
    "orange": (250, 140, 30),
    "yellow": (255, 215, 50),
    "green": (50, 160, 70),
    "blue": (50, 100, 220),
    "purple": (130, 60, 180),
    "pink": (255, 160, 200),
    "brown": (130, 85, 50),
    "gray": (150, 150, 150),
    "black": (0, 0, 0),
}
STYLES = {"noto": "noto", "twemoji": "twemoji", "fluent": "fluent", "fluent-flat": "flat"}  # vendor -> style word
DIRECTED = re.compile(  # mirrored, these would show something else than their name says, or no letter at all
    r"\d|\b(left|right|leftwards|rightwards|east|west|clockwise|arrows?|.*clock|watch|alarm|letters?|numbers?|alphabet|abc"
    r"|calendar|date|newspaper|score|sign|text|word|waxing|waning|quarter|crescent|stop|ticket|atm|dollar|euro|yen|pound|tv)\b"
)


@dataclass
class EmojiImages:
    """N drawings of C things (distinct names) by V vendors."""

    pixels: Tensor  # (N, 64, 4, 64) uint8: y, channel, x; RGB premultiplied by alpha
    vendors: tuple[str, ...]
    names: list[str]  # of each thing
    keywords: list[list[str]]  # of each thing, the rarest first
    groups: list[str]  # of each thing
    table: np.ndarray  # (C, V) the image of a thing by a vendor, -1: there is none
    mirrors: np.ndarray  # (C,) bool: may be shown mirrored
    margins: np.ndarray  # (N, 4) empty pixels left, right, above, below
    clashes: np.ndarray  # (C, colours) bool: could not be seen on that background

    @classmethod
    def load(cls, folder: Path, vendors: Sequence[str] = (), leave_out: Sequence[str] = ()) -> EmojiImages:
        """From a folder that `mmgen data emoji` built. `vendors` empty: all; `leave_out` names groups, such as "flags".

        Raises NotFound, UnreadableFile, and BadRequest for a vendor or group that the folder does not have.
        """
        rows = chosen_rows(folder, vendors, leave_out)
        pixels = np.empty((len(rows), SIDE, 4, SIDE), dtype=np.uint8)
        for out, image in zip(pixels, emoji_dataset.read_images(folder, [row["file"] for row in rows]), strict=True):
            out[:] = premultiplied(image)
        return cls.build(rows, pixels)

    @classmethod
    def build(cls, rows: Sequence[dict[str, Any]], pixels: np.ndarray) -> EmojiImages:
        """From rows of captions.jsonl and their (N, 64, 4, 64) premultiplied pixels."""
        vendors = tuple(dict.fromkeys(row["vendor"] for row in rows))
        things = {row["name"]: row for row in rows}
        number = {name: n for n, name in enumerate(things)}
        table = np.full((len(things), len(vendors)), -1)
        for n, row in enumerate(rows):
            table[number[row["name"]], vendors.index(row["vendor"])] = n
        use = Counter(word for row in things.values() for word in row["keywords"])
        return cls(
            torch.from_numpy(pixels),
            vendors,
            list(things),
            [sorted(row["keywords"], key=lambda word: (use[word], word)) for row in things.values()],
            [row["group"] for row in things.values()],
            table,
            np.array([mirrors(row) for row in things.values()]),
            margins(pixels),
            clashes(pixels, table),
        )

    def __len__(self) -> int:
        return len(self.pixels)


def chosen_rows(folder: Path, vendors: Sequence[str] = (), leave_out: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Rows of captions.jsonl, as `EmojiImages.load` takes them, one an image. Raises what it raises."""
    rows = emoji_dataset.read_rows(folder)
    _known("vendor", vendors, {row["vendor"] for row in rows})
    _known("group", leave_out, {row["group"] for row in rows})
    return [r for r in rows if (not vendors or r["vendor"] in vendors) and r["group"] not in leave_out]


def premultiplied(image: np.ndarray) -> np.ndarray:
    """(S, S, 4) uint8 RGBA -> (S, 4, S) uint8: y, channel, x; RGB premultiplied by alpha."""
    alpha = image[..., 3:].astype(np.uint16)
    colours = ((image[..., :3] * alpha + 127) // 255).astype(np.uint8)
    return np.concatenate((colours, image[..., 3:]), axis=-1).transpose(0, 2, 1)  # (y, x, c) -> (y, c, x)


def _known(what: str, given: Sequence[str], known: set[str]) -> None:
    for name in given:
        if name not in known:
            raise BadRequest(
                f"{what} {name!r} is not in the data set{nearest(name, sorted(known))}; it has {', '.join(sorted(known))}"
            )


def mirrors(row: dict[str, Any]) -> bool:
    """Whether a mirrored image is still what the row's words say."""
    words = " ".join([row["name"], *row["keywords"]]).lower()
    return row["group"] not in ("symbols", "flags") and not DIRECTED.search(words)


def margins(pixels: np.ndarray) -> np.ndarray:
    """(N, 64, 4, 64) -> (N, 4) rows or columns without colour: left, right, above, below."""
    seen = pixels[:, :, 3]  # (N, y, x)
    across, down = seen.max(1) > 0, seen.max(2) > 0
    return np.stack([line.argmax(1) for line in (across, across[:, ::-1], down, down[:, ::-1])], axis=1)


def clashes(pixels: np.ndarray, table: np.ndarray, near: float = 70.0) -> np.ndarray:
    """(C, colours): the mean colour of some vendor's drawing is within `near` (RGB distance, 0-255) of the background."""
    total = pixels.sum((1, 3), dtype=np.int64)  # (N, 4)
    mean = 255 * total[:, :3] / np.maximum(total[:, 3:], 1)
    colours = np.array(list(COLOURS.values()))
    close: np.ndarray = ((mean[:, None] - colours) ** 2).sum(-1) < near**2  # (N, colours)
    found: np.ndarray = (close[table] & (table >= 0)[..., None]).any(1)
    return found
