"""A tiny folder of drawings, as `mmgen data emoji` would build it: coloured L-shapes that know left from right."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmgen.training.data import emoji_dataset, emoji_vectors
from mmgen.training.data.emoji_images import EmojiImages

THINGS = [f"{colour} {shape}" for colour in ("dark", "pale", "warm", "cold", "wild", "calm") for shape in "abcdef"]
THINGS = [f"{name}{'nose' if n % 2 else 'hat'}" for n, name in enumerate(THINGS)]  # "dark ahat", "dark bnose", ...
VENDORS = ("noto", "twemoji")


def row(vendor: str, name: str, **more: Any) -> dict[str, Any]:
    license_ = emoji_dataset.SOURCES[vendor].license
    words = {"keywords": [*name.split(), f"like {name}"], "group": "objects", "subgroup": "tool", "license": license_}
    return {"file": f"{vendor}/{name}.png", "vendor": vendor, "name": name, **words, **more}


def drawing(number: int, vendor: int) -> np.ndarray:
    """(64, 64, 4) RGBA: an L in the thing's own colour, 6 pixels from the edges."""
    rng = np.random.default_rng([number, vendor])
    pixels = np.zeros((64, 64, 4), dtype=np.uint8)
    pixels[6:58, 6:20, 3] = pixels[40:58, 6:58, 3] = 255
    pixels[pixels[..., 3] > 0, :3] = rng.integers(0, 120, 3)
    return pixels


def make(folder: Path) -> Path:
    rows = [row(vendor, name) for vendor in VENDORS for name in THINGS]
    rows[1] |= {"name": "left arrow", "keywords": ["arrow"], "group": "symbols"}
    emoji_dataset.write(folder, rows, [drawing(n % len(THINGS), n // len(THINGS)) for n in range(len(rows))])
    return folder


@pytest.fixture(scope="session")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("data") / "drawings")


@pytest.fixture(scope="session")
def images(drawings: Path) -> EmojiImages:
    return EmojiImages.load(drawings)


def add_vectors(folder: Path) -> Path:
    """The same drawings as SVG."""
    svgs = {}
    for n, one in enumerate(emoji_dataset.read_rows(folder)):
        colour = "#{:02x}{:02x}{:02x}".format(*drawing(n % len(THINGS), n // len(THINGS))[6, 6, :3])
        shape = f'<path d="M6 6h14v34h38v18h-52z" fill="{colour}"/>'
        svgs[one["file"]] = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">{shape}</svg>'
    emoji_vectors.write(folder, svgs)
    return folder
