"""The order in which a page is read: full-width text from top to bottom, columns one after the other.

A page is cut where white strips run through it (XY-cut; Nagy and Seth 1984), a vertical strip before a level one, so that two
columns whose lines stand side by side are not read across. Knows words and their places; no file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from mmgen.ingest.pdf.words import Word

GUTTER = 0.9  # of the font's height: the least width of a strip between columns
SPREAD = 1.9  # of the usual distance of lines: what stands further above or below is no part of a column
DEEPEST = 8  # columns within columns
MARK = re.compile(r"[-–—*•‣◦▪■□●○➢✓·]|\[[x ]\]|\(?(\d{1,3}|[A-Za-z]|[ivx]{1,5})[.)]|(\d{1,2}\.){1,4}\d{0,2}")
"""A list's bullet or number."""
Span = tuple[float, float]


@dataclass
class Line:
    """Words side by side, in order of reading."""

    words: list[Word]

    @property
    def x0(self) -> float:
        return min(word.x0 for word in self.words)

    @property
    def x1(self) -> float:
        return max(word.x1 for word in self.words)

    @property
    def height(self) -> float:
        return max(word.height for word in self.words)

    @property
    def middle(self) -> float:
        return max(self.words, key=lambda word: word.height).middle

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


@dataclass
class Region:
    """A part of a page that is read from top to bottom; with `columns`, one that is parted by white strips."""

    lines: list[Line]
    columns: list[list[Word]] = field(default_factory=list)


def regions(words: Sequence[Word], depth: int = 0) -> Iterator[Region]:
    """The parts of a page in order, with what is parted by white strips as one: a table, or columns of text."""
    if not words:
        return
    em = median(word.height for word in words)
    bands = level_bands(words)
    whole = (min(word.x0 for word in words), max(word.x1 for word in words))
    plain: list[Word] = []
    at = 0
    while at < len(bands):
        end, strips = _parted(bands, at, whole, GUTTER * em) if depth < DEEPEST else (at, [])
        if not strips:
            plain += list(bands[at])
            at += 1
            continue
        if plain:
            yield Region(lines_of(plain))
            plain = []
        inside = [word for band in bands[at:end] for word in band]
        yield Region(lines_of(inside), split(inside, strips))
        at = end
    if plain:
        yield Region(lines_of(plain))


def level_bands(words: Sequence[Word]) -> list[list[Word]]:
    """Words between level white strips, top to bottom. Of a box the upper and lower fifth do not count."""
    out: list[list[Word]] = []
    below = -1e9
    for word in sorted(words, key=lambda word: word.y0 + 0.2 * word.height):
        if not out or word.y0 + 0.2 * word.height >= below:
            out.append([])
        out[-1].append(word)
        below = max(below, word.y1 - 0.2 * word.height)
    return out


def lines_of(words: Sequence[Word]) -> list[Line]:
    """Words whose boxes share most of their height form a line; lines from top to bottom."""
    rows: list[list[Word]] = []
    references: list[Word] = []  # the tallest of each
    for word in sorted(words, key=lambda word: (word.middle, word.x0)):
        for at in range(len(rows) - 1, max(-1, len(rows) - 5), -1):
            other = references[at]
            if min(word.y1, other.y1) - max(word.y0, other.y0) > 0.5 * min(word.height, other.height):
                rows[at].append(word)
                references[at] = max(word, other, key=lambda one: one.height)
                break
        else:
            rows.append([word])
            references.append(word)
    return sorted((Line(in_order(row)) for row in rows), key=lambda line: line.middle)


def in_order(row: Sequence[Word]) -> list[Word]:
    """By x; a line of right-to-left script from the right, with its runs of other words and numbers from the left."""
    row = sorted(row, key=lambda word: word.x0)
    strong = [_direction(word.text) for word in row]
    if strong.count(-1) <= strong.count(1):
        return row
    out: list[Word] = []
    run: list[Word] = []
    for word, direction in zip(reversed(row), reversed(strong), strict=True):
        if direction < 0:
            out += reversed(run)
            run = []
            out.append(word)
        else:
            run.append(word)
    return out + run[::-1]


def split(words: Sequence[Word], strips: Sequence[Span]) -> list[list[Word]]:
    """The words left of the first strip, between it and the second, and so on."""
    columns: list[list[Word]] = [[] for _ in range(len(strips) + 1)]
    for word in words:
        middle = (word.x0 + word.x1) / 2
        columns[sum(middle > right for _, right in strips)].append(word)
    return columns


def _direction(text: str) -> int:
    """-1 for a word of right-to-left letters, 1 for other letters, 0 for digits and marks."""
    for character in text:
        if "\u0590" <= character <= "\u08ff" or "\ufb1d" <= character <= "\ufeff":
            return -1
        if character.isalpha():
            return 1
    return 0


def _parted(bands: Sequence[Sequence[Word]], at: int, whole: Span, least: float) -> tuple[int, list[Span]]:
    """The longest run of bands from `at` on that white strips part, and these strips; none where there is no such run.

    A first line that would cost the run some of its strips, such as a heading above a table, is no part of it.
    """
    end, strips = _run(bands, at, whole, least)
    if at + 1 < len(bands) and len(lines_of(bands[at])) == 1 and len(_run(bands, at + 1, whole, least)[1]) > len(strips):
        return at, []
    return end, strips


def _run(bands: Sequence[Sequence[Word]], at: int, whole: Span, least: float) -> tuple[int, list[Span]]:
    free: list[Span] = [whole]
    inner = rows = 0  # strips between words, and the bands that all of them part
    end = at
    while end < len(bands):
        narrower = [strip for strip in _without(free, bands[end]) if strip[1] - strip[0] >= least]
        if not any(whole[0] < left and right < whole[1] for left, right in narrower) and not _one_sided(narrower, whole):
            break
        strips = _between(narrower, [word for band in bands[at : end + 1] for word in band])
        if len(strips) < inner and rows > 1:
            break
        rows = 1 if len(strips) != inner else rows + (len(_between(strips, bands[end])) == len(strips))
        free, inner, end = narrower, len(strips), end + 1
    stop = _trimmed(bands, at, end)
    inside = [word for band in bands[at:stop] for word in band]
    if not inside:
        return at, []
    strips = _between([strip for strip in _without([whole], inside) if strip[1] - strip[0] >= least], inside)
    strips = _not_after_marks(inside, strips)
    return (stop, strips) if strips and _is_parted(inside, strips) else (at, [])


def _one_sided(free: Sequence[Span], whole: Span) -> bool:
    """Whether a strip at an edge is wide enough to hold a column whose lines come later."""
    return any(right - left > (whole[1] - whole[0]) / 5 for left, right in free)


def _trimmed(bands: Sequence[Sequence[Word]], at: int, end: int) -> int:
    """The run's end without last lines that stand apart below it."""
    pitches = [_top(bands[n + 1]) - _top(bands[n]) for n in range(at, end - 1)]
    usual = median(pitches) if pitches else 0.0
    while end - at > 2 and pitches[end - at - 2] > SPREAD * usual and len(lines_of(bands[end - 1])) == 1:
        end -= 1
    return end


def _top(band: Sequence[Word]) -> float:
    return min(word.y0 for word in band)


def _without(free: Sequence[Span], words: Sequence[Word]) -> list[Span]:
    """What is left of the strips where these words do not stand."""
    taken = sorted((word.x0, word.x1) for word in words)
    out = []
    for left, right in free:
        for x0, x1 in taken:
            if x1 <= left or x0 >= right:
                continue
            if x0 > left:
                out.append((left, x0))
            left = max(left, x1)
            if left >= right:
                break
        if left < right:
            out.append((left, right))
    return out


def _between(strips: Sequence[Span], words: Sequence[Word]) -> list[Span]:
    """Those with words on both sides."""
    first, last = min(word.x0 for word in words), max(word.x1 for word in words)
    return [(left, right) for left, right in strips if left > first and right < last]


def _not_after_marks(words: Sequence[Word], strips: Sequence[Span]) -> list[Span]:
    """Without those that only part a list's bullets and numbers from its items."""
    columns = split(words, strips)
    marks = [all(MARK.fullmatch(word.text) for word in column) for column in columns]
    if len(columns) == 2 and all(MARK.fullmatch(f"{word.text}.") for word in columns[0]):
        return []
    return [strip for strip, mark in zip(strips, marks, strict=False) if not mark]


def _is_parted(words: Sequence[Word], strips: Sequence[Span]) -> bool:
    """Whether at least two sides hold two lines or more: a gap in one line is no column."""
    return sum(len(lines_of(column)) > 1 for column in split(words, strips) if column) > 1
