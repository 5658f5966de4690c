"""Documents from JSON lines or plain text, optionally gzipped."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmgen.errors import BadRequest, NotFound, UnreadableFile

SUFFIXES = (".jsonl", ".txt", ".jsonl.gz", ".txt.gz")
WINDOW = 128
"""Bytes in a row that two books share only if one quotes the other."""
KNOWN = 0.02


def files(place: Path | None) -> list[Path]:
    """The file itself, or those of a folder that can be read. Raises BadRequest for none given, NotFound for none there."""
    if place is None:
        raise BadRequest("no data; give --data a file or a folder of *.jsonl or *.txt, gzipped or not")
    if place.is_file():
        return [place]
    found = sorted(path for path in place.glob("*") if path.name.endswith(SUFFIXES))
    if not found:
        raise NotFound(f"{place} holds none of {', '.join('*' + suffix for suffix in SUFFIXES)}; check the path")
    return found


def read(paths: Sequence[Path]) -> Iterator[str]:
    """Each document's text, its lines ended by a line feed and nothing before that."""
    for path in paths:
        if ".jsonl" in path.suffixes:
            yield from (tidy(_text(row, path)) for row in rows(path))
        else:
            yield tidy(_whole(path))


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines. Raises UnreadableFile that names the line."""
    for number, line in enumerate(_whole(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as why:
            raise UnreadableFile(f"{path}, line {number}: no JSON ({why})") from None
        if not isinstance(row, dict):
            raise UnreadableFile(f"{path}, line {number}: a {type(row).__name__}; each line should be an object")
        yield row


def split(documents: Sequence[str], share: float) -> tuple[list[str], list[str]]:
    """Documents to train on, and held out: a share of them chosen by hash of the text; of a single document its end.

    What would be held out and stands in a document to train on as well, as a story does in a collection, is in neither.
    """
    if len(documents) == 1:
        (text,) = documents
        border = round(len(text) * (1 - share))
        return [text[:border]], [text[border:]] if border < len(text) else []
    train: list[str] = []
    held_out: list[str] = []
    for text in documents:
        (held_out if _fraction(text) < share else train).append(text)
    known = copied(held_out, train)
    return train, [text for text, there in zip(held_out, known, strict=True) if not there]


def copied(held_out: Sequence[str], train: Sequence[str]) -> list[bool]:
    """Of each held-out document, whether more than a fiftieth of it stands in the others, word for word."""
    if not held_out:
        return []
    theirs = np.unique(np.concatenate([_windows(text) for text in train])) if train else np.zeros(0, np.uint64)
    ours = [_windows(text) for text in held_out]
    return [len(part) > 0 and float(np.isin(part, theirs).mean()) > KNOWN for part in ours]


def _windows(text: str) -> np.ndarray:
    """Hashes of one in 64 of all stretches of `WINDOW` bytes, chosen by the hash."""
    hashes = np.frombuffer(text.encode(), np.uint8).astype(np.uint64)
    size, factor = 1, 0x100000001B3
    while size < WINDOW:  # of two neighbouring halves
        hashes = hashes[:-size] * np.uint64(factor) + hashes[size:]
        size, factor = 2 * size, factor * factor % 2**64
    mixed = hashes * np.uint64(0x9E3779B97F4A7C15)  # the upper bits of a product are good; Knuth 6.4
    return np.asarray(mixed[mixed >> np.uint64(58) == 0])


def tidy(text: str) -> str:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip(" \t") for line in lines)


def _fraction(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _text(row: dict[str, Any], path: Path) -> str:
    text = row.get("text")
    if not isinstance(text, str):
        raise UnreadableFile(f'{path}: a line has no "text" ({", ".join(row) or "it is empty"}); each should hold one')
    return text


def _whole(path: Path) -> str:
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return data.decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as why:
        raise UnreadableFile(f"{path} cannot be read ({why}); it should be text in UTF-8") from None
