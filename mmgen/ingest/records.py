"""Rows and objects as text: `name: value` lines, cut into pieces that each name their record. Knows no file format."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

PARTIAL = "read_in_part"
"""Metadata under which an extractor says what of the file it could not read."""
LEFT_OUT = "left_out"
"""Metadata under which an extractor says what it does not read of such files, unless it is asked to: comments, pictures."""

PIECE = 150  # tokens of a piece at most, as estimated: below what a passage holds
LONGEST_NAME = 80
WORD = re.compile(r"\w+|[^\w\s]")

Fields = Sequence[tuple[str, str]]
"""Names and values in order; a value without a name stands alone on its line."""


def record(fields: Fields, key: tuple[str, str] | None = None) -> str:
    """One block of lines; where that is too long for a passage, several blocks, each beginning with the line of the key.

    Args:
        fields: of one row or object.
        key: the field that names the record. None: the first one that is short.
    """
    whole = "\n".join(_line(name, value) for name, value in fields)
    if _fits(whole, PIECE):
        return whole
    key = key or next(((name, value) for name, value in fields if name and _fits(_line(name, value), PIECE // 3)), None)
    mark = _line(*key) if key else ""
    room = PIECE - tokens(mark)
    out: list[list[tuple[str, str]]] = [[]]
    used = 0
    left = list(fields)
    if key in left:
        left.remove(key)  # once: another field may say the same
    for name, value in left:
        for piece in _pieces(name, value, room):
            size = tokens(_line(name, piece))
            if used + size > room and out[-1]:
                out.append([])
                used = 0
            if name and out[-1] and out[-1][-1][0] == name and piece is not value:
                out[-1][-1] = (name, f"{out[-1][-1][1]} {piece}")
            else:
                out[-1].append((name, piece))
            used += size
    return "\n\n".join("\n".join([*([mark] if mark else []), *(_line(*line) for line in lines)]) for lines in out if lines)


def tokens(text: str) -> int:
    """An upper estimate for a subword tokenizer: four letters of an English word a token, of others one each."""
    return sum(-(-len(word) // 4) if word.isascii() else len(word) for word in WORD.findall(text))


def _fits(text: str, limit: int) -> bool:
    return len(text) <= 20 * limit and tokens(text) <= limit


def _line(name: str, value: str) -> str:
    return f"{name}: {value}" if name else value


def _pieces(name: str, value: str, room: int) -> Iterator[str]:
    """The value, cut before sentences or words where its line is longer than `room` tokens."""
    if _fits(_line(name, value), room):
        yield value
        return
    room = max(room - tokens(f"{name}:"), 16)
    part: list[str] = []
    used = 0
    for word in re.findall(r"\S+\s*", value):
        for bit in (word[at : at + 4 * room] for at in range(0, len(word), 4 * room)) if len(word) > room else (word,):
            size = tokens(bit)
            if part and (used + size > room or (2 * used > room and re.search(r"[.!?。！？]\s*$", part[-1]))):
                yield "".join(part).strip()
                part, used = [], 0
            part.append(bit)
            used += size
    if part:
        yield "".join(part).strip()
