"""The head of a GGUF file: metadata, and where its tensors lie. Torch-free."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from mmgen.errors import BadWeights

MAGIC = b"GGUF"
VERSIONS = (2, 3)
STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


class Cut(Exception):
    """The file ends before what it announces."""


class Cursor:
    """Reads one value after another. Raises Cut at the end of the file."""

    def __init__(self, data: np.ndarray) -> None:
        self.view, self.at = data.data, 0

    def take(self, count: int) -> memoryview:
        if count > len(self.view) - self.at:
            raise Cut
        self.at += count
        return self.view[self.at - count : self.at]

    def number(self, form: str) -> Any:
        return struct.unpack("<" + form, self.take(struct.calcsize(form)))[0]

    def peek(self, form: str) -> Any:
        at, value = self.at, self.number(form)
        self.at = at
        return value

    def text(self) -> str:
        return bytes(self.take(self.number("Q"))).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        """Raises ValueError for a kind of value that the format has not."""
        if kind in SCALARS:
            return self.number(SCALARS[kind])
        if kind == STRING:
            return self.text()
        if kind != ARRAY:
            raise ValueError(f"a value of kind {kind}")
        kind, count = self.number("I"), self.number("Q")
        if kind in SCALARS:
            form = np.dtype("<" + SCALARS[kind])
            return np.frombuffer(self.take(count * form.itemsize), form).tolist()
        return [self.value(kind) for _ in range(count)]


def begun(path: Path, cursor: Cursor) -> tuple[int, int]:
    """How many tensors and entries of metadata follow."""
    if (magic := bytes(cursor.take(4))) != MAGIC:
        raise BadWeights(f"{path} is no GGUF file: it begins with {magic!r}")
    version = cursor.number("I")
    if version not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        told = "is written for big-endian machines" if swapped in VERSIONS else f"is GGUF of version {version}"
        raise BadWeights(f"{path} {told}; version {' and '.join(map(str, VERSIONS))} are read, little-endian")
    return cursor.number("Q"), cursor.number("Q")


def metadata(cursor: Cursor, entries: int) -> tuple[dict[str, Any], dict[str, tuple[int, int | None]]]:
    """The values by their keys, and of each its kind, and of what kind the parts of an array are."""
    values, kinds = dict[str, Any](), dict[str, tuple[int, int | None]]()
    for _ in range(entries):
        key, kind = cursor.text(), cursor.number("I")
        kinds[key] = kind, cursor.peek("I") if kind == ARRAY else None
        values[key] = cursor.value(kind)
    return values, kinds


def tensor(path: Path, cursor: Cursor) -> tuple[str, int, tuple[int, ...], int]:
    """A tensor's name, the number of its type, its shape with rows before columns, and its offset."""
    name, dimensions = cursor.text(), cursor.number("I")
    if not 1 <= dimensions <= 4:
        raise BadWeights(f"{path} is damaged: {name} has {dimensions} dimensions; copy or download it again")
    shape = tuple(cursor.number("Q") for _ in range(dimensions))[::-1]
    return name, cursor.number("I"), shape, cursor.number("Q")
