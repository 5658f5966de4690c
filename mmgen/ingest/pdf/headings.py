"""Headings by the size of their type: short paragraphs in larger letters than most of the document's text."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from mmgen.ingest.pdf.flow import COLUMN, PARAGRAPH

LARGER = 1.2
"""Times the body's size from which type is a heading's; bold type of nearly the body's size is not told apart from emphasis."""
ALIKE = 1.08
"""Sizes that differ less are one level."""
DEEPEST = 4
LONGEST = 120  # characters
MOST = 0.25
"""Share of all characters from which on large type is no sign of headings: a poster, or slides."""
Paragraph = tuple[int, int, int]  # page, its first word, the word behind its last


def headings(
    words: Sequence[Sequence[str]], before: Sequence[Sequence[str]], heights: Sequence[array[float]]
) -> dict[tuple[int, int], tuple[int, int]]:
    """(page, first word) of every heading -> (the word behind its last, its level from 1).

    Args:
        words, before: of every page the words, and what parts each from the one before.
        heights: of every page the heights of its words' letters in points; 0: a word that is in no heading, as one of a table.
    """
    sizes: Counter[float] = Counter()
    for page, sized in zip(words, heights, strict=True):
        for word, height in zip(page, sized, strict=True):
            if height:
                sizes[round(2 * height) / 2] += len(word)
    body = _median(sizes)
    found = {
        (page, first): (last, size)
        for page, first, last in _paragraphs(before)
        if (size := _size(words[page][first:last], heights[page][first:last], body))
    }
    characters = sum(len(word) for (page, first), (last, _) in found.items() for word in words[page][first:last])
    if characters > MOST * sum(sizes.values()):
        return {}
    levels = _levels(size for _, size in found.values())
    return {at: (last, levels[size]) for at, (last, size) in found.items()}


def _paragraphs(before: Sequence[Sequence[str]]) -> Iterator[Paragraph]:
    for page, parted in enumerate(before):
        cuts = [n for n, one in enumerate(parted) if not n or one in (PARAGRAPH, COLUMN)]
        for first, last in pairwise([*cuts, len(parted)]):
            yield page, first, last


def _size(words: Sequence[str], heights: Sequence[float], body: float) -> float:
    """Of a heading's type; 0 for what is none."""
    low, high = min(heights), max(heights)
    text = " ".join(words)
    if not body or low < LARGER * body or high > 1.3 * low or len(text) > LONGEST:
        return 0.0
    letters = sum(character.isalpha() for character in text)
    plain = letters >= 3 and 2 * letters > len(text) and not text.endswith((".", ",", ";")) and text[0] not in "#|"
    return math.floor(2 * high + 0.5) / 2 if plain else 0.0


def _median(sizes: Counter[float]) -> float:
    """The size up to which half of the characters are set."""
    half, seen = sum(sizes.values()) / 2, 0
    for size in sorted(sizes):
        seen += sizes[size]
        if seen >= half:
            return size
    return 0.0


def _levels(sizes: Iterator[float]) -> dict[float, int]:
    levels: dict[float, int] = {}
    level, top = 0, math.inf
    for size in sorted(set(sizes), reverse=True):
        if size * ALIKE < top:
            level, top = level + 1, size
        levels[size] = min(level, DEEPEST)
    return levels
