"""The emoji data set on disk: reading, writing and verifying it, with vendors and licences."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmgen.errors import NotFound, UnreadableFile

SIDE = 64
FIELDS = ("file", "vendor", "name", "keywords", "group", "license")  # of a row; there are more


@dataclass(frozen=True)
class EmojiVendor:
    """Where one vendor's drawings come from."""

    package: str
    version: str
    license: str  # SPDX
    named_by: str = ""  # the package whose chars.json names the icons, where the vendor's own is empty


SOURCES = {
    "noto": EmojiVendor("@iconify-json/noto", "1.2.9", "Apache-2.0"),
    "twemoji": EmojiVendor("@iconify-json/twemoji", "1.2.5", "CC-BY-4.0"),
    "fluent": EmojiVendor("@iconify-json/fluent-emoji", "1.2.7", "MIT", "@iconify-json/fluent-emoji-flat"),
    "fluent-flat": EmojiVendor("@iconify-json/fluent-emoji-flat", "1.2.6", "MIT"),
}
FAMILIES = {  # further hands, for what has to know things whoever drew them; their icons are found by the things' names
    "noto-v1": EmojiVendor("@iconify-json/noto-v1", "1.2.5", "Apache-2.0"),
    "fxemoji": EmojiVendor("@iconify-json/fxemoji", "1.2.2", "Apache-2.0"),
    "emojione": EmojiVendor("@iconify-json/emojione", "1.2.3", "CC-BY-4.0"),
    "streamline": EmojiVendor("@iconify-json/streamline-emojis", "1.2.4", "CC-BY-4.0"),
    "high-contrast": EmojiVendor("@iconify-json/fluent-emoji-high-contrast", "1.2.6", "MIT"),
    "game-icons": EmojiVendor("@iconify-json/game-icons", "1.2.4", "CC-BY-3.0"),
    "lucide": EmojiVendor("@iconify-json/lucide", "1.2.137", "ISC"),
    "phosphor": EmojiVendor("@iconify-json/ph", "1.2.2", "MIT"),
    "tabler": EmojiVendor("@iconify-json/tabler", "1.2.41", "MIT"),
    "openmoji": EmojiVendor("@iconify-json/openmoji", "1.2.29", "CC-BY-SA-4.0"),  # measured on, never trained on
}
WORDS = {"cldr-annotations-full": "48.2.0", "cldr-annotations-derived-full": "48.2.0", "emojibase-data": "17.0.0"}
# sha256 of the rows that the pinned packages give, see `rows_digest`
ROWS = "832acefbdaca6cfed89527287200393972b522d8de76b9c4e7d2bfeae87f5ae0"


@dataclass
class DatasetReport:
    """What a folder holds."""

    counts: dict[str, int] = field(default_factory=dict)  # vendor -> images
    licenses: dict[str, str] = field(default_factory=dict)  # vendor -> SPDX
    groups: dict[str, int] = field(default_factory=dict)
    names: int = 0  # distinct
    rows: str = ""  # sha256, without those of further families
    pixels: str = ""  # sha256; another release of the SVG renderer may move a pixel by a level
    pinned: bool = False  # exactly the rows that the pinned packages give


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """captions.jsonl as it stands. Raises NotFound and UnreadableFile."""
    path = folder / "captions.jsonl"
    if not path.is_file() or not (folder / "images.zip").is_file():
        raise NotFound(f"{folder} lacks captions.jsonl or images.zip; build them in a new folder with: mmgen data emoji NEW")
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        missing = next((key for row in rows for key in FIELDS if key not in row), None)
        if missing:
            raise KeyError(missing)
        return rows
    except (ValueError, KeyError, TypeError) as why:
        raise UnreadableFile(f"{path} is damaged ({why!r}); delete {folder} and run: mmgen data emoji {folder}") from None


def read_images(folder: Path, files: list[str]) -> Iterator[np.ndarray]:
    """Each file of images.zip as (64, 64, 4) uint8 RGBA. Raises UnreadableFile, naming it."""
    name = "images.zip"
    try:
        with zipfile.ZipFile(folder / "images.zip") as archive:
            for name in files:
                with Image.open(io.BytesIO(archive.read(name))) as image:
                    if image.size != (SIDE, SIDE):
                        raise ValueError(f"{image.width}x{image.height} instead of {SIDE}x{SIDE}")
                    yield np.asarray(image.convert("RGBA"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as why:
        raise UnreadableFile(f"{folder}: {name} is damaged ({why}); delete it and run: mmgen data emoji {folder}") from None


def check(folder: Path) -> DatasetReport:
    """Reads every image and row. Raises NotFound and UnreadableFile; a set that is sound but another is only reported."""
    rows = read_rows(folder)
    for row in rows:
        known = (SOURCES | FAMILIES).get(row["vendor"])
        if known and row["license"] != known.license:
            raise UnreadableFile(
                f"{folder}: {row['file']} is said to be {row['license']}, it is {known.license}; build it anew"
            )
    pixels = hashlib.sha256()
    for image in read_images(folder, [row["file"] for row in rows]):
        pixels.update(image.tobytes())
    digest = rows_digest([row for row in rows if row["vendor"] not in FAMILIES])
    return DatasetReport(
        counts=dict(Counter(row["vendor"] for row in rows)),
        licenses={row["vendor"]: row["license"] for row in rows},
        groups=dict(Counter(row["group"] for row in rows)),
        names=len({row["name"] for row in rows}),
        rows=digest,
        pixels=pixels.hexdigest(),
        pinned=digest == ROWS,
    )


def rows_digest(rows: list[dict[str, Any]]) -> str:
    """sha256 over all fields of all rows, however their JSON was written."""
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def write(folder: Path, rows: list[dict[str, Any]], images: list[np.ndarray]) -> None:
    """captions.jsonl and images.zip: stored, with fixed time stamps, so that the same images give the same archive."""
    folder.mkdir(parents=True)
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for row, pixels in zip(rows, images, strict=True):
            data = io.BytesIO()
            Image.fromarray(pixels, "RGBA").save(data, "PNG", optimize=True)
            archive.writestr(zipfile.ZipInfo(row["file"], (2026, 1, 1, 0, 0, 0)), data.getvalue())
