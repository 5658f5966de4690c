"""Sentences of a passage, as answers quote them. Knows character ranges; not questions or models."""

from __future__ import annotations

from mmgen.ingest.sentences import sentences
from mmgen.ingest.text_blocks import blocks, lines, trimmed


def parts(text: str) -> list[tuple[int, int]]:
    """Ranges of the sentences of `text`, and of its lines of code, in order; white space may belong to them."""
    found: list[tuple[int, int]] = []
    for block in blocks(text, "markdown"):
        if block.form == "code":
            found += lines(text, block.start, block.end)
        else:
            found += [(block.start + a, block.start + b) for a, b in sentences(text[block.start : block.end])]
    return found


def sentence_around(text: str, start: int, end: int) -> tuple[int, int]:
    """The sentence or sentences of `text` that hold `[start, end)`, or its lines of code, without surrounding white space."""
    touched = [(a, b) for a, b in parts(text) if a < end and b > start]
    return trimmed(text, touched[0][0], touched[-1][1])
