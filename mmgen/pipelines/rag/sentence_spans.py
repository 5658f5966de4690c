"""Character ranges of a passage's sentences, the units in which answers quote."""

from __future__ import annotations

from mmgen.ingest.sentences import sentences
from mmgen.ingest.text_blocks import blocks, lines, trimmed


def parts(text: str) -> list[tuple[int, int]]:
    """Ranges of the sentences of `text`, or lines within code blocks, in order; they may include white space around them."""
    found: list[tuple[int, int]] = []
    for block in blocks(text, "markdown"):
        if block.form == "code":
            found += lines(text, block.start, block.end)
        else:
            found += [(block.start + a, block.start + b) for a, b in sentences(text[block.start : block.end])]
    return found


def sentence_around(text: str, start: int, end: int) -> tuple[int, int]:
    """The range of the sentences (or lines of code) of `text` that overlap `[start, end)`, without surrounding white space."""
    overlapping = [(a, b) for a, b in parts(text) if a < end and b > start]
    return trimmed(text, overlapping[0][0], overlapping[-1][1])
