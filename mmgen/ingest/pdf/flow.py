"""A page's words in order of reading, each with what parts it from the word before: paragraphs, lines that stay, rows.

Knows the words of one page; joins no broken words, which takes the whole document's.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from mmgen.ingest.pdf.hyphens import BROKEN
from mmgen.ingest.pdf.reading_order import MARK, Line, Region, lines_of, regions
from mmgen.ingest.pdf.tables import PageTable, aligned, continued, ruled
from mmgen.ingest.pdf.words import LEADER, Box, PageWords, Word

NOTHING, SPACE, LINE, PARAGRAPH = "", " ", "\n", "\n\n"
BREAK = "\f"
"""A line's end within a paragraph: a word may be broken there."""
COLUMN = "\v"
"""The end of a column or page: a paragraph may go on after it."""
STOP = re.compile(r"[.!?:;…。！？]['\"”’»)\]]*$")


@dataclass(slots=True)
class FlowWord:
    """A word at its place in the text."""

    before: str  # what parts it from the word before
    text: str
    box: Box
    confidence: float
    height: float = 0.0  # of its letters, in points; 0 in tables, and where a recogniser guessed it


def flow(page: PageWords, last: PageTable | None = None) -> tuple[list[FlowWord], PageTable | None]:
    """The page's words in order, and the table that it ends with.

    Args:
        page: without what repeats on every page.
        last: the table that the page before ended with: one that goes on here takes its header.
    """
    out: list[FlowWord] = []
    turned = sorted({word.angle for word in page.words}, key=lambda angle: -sum(word.angle == angle for word in page.words))
    table = None
    for angle in turned:  # what stands in another direction comes after the rest, not between its lines
        words = [word for word in page.words if word.angle == angle]
        parts, table = _upright(words, page.rules if not angle else [], last)
        out += _apart(out, parts)
    return out, table if len(turned) == 1 else None


def _upright(words: Sequence[Word], rules: Sequence[Box], last: PageTable | None) -> tuple[list[FlowWord], PageTable | None]:
    found, rest = ruled(words, rules)
    parts: list[tuple[float, PageTable | Region]] = []
    cuts = sorted(found, key=lambda table: table.top)
    for table in cuts:
        above = [word for word in rest if word.middle < table.top]
        rest = [word for word in rest if word.middle >= table.top]
        parts += [(region.lines[0].middle, region) for region in regions(above)] + [(table.top, table)]
    parts += [(region.lines[0].middle, region) for region in regions(rest)]
    out: list[FlowWord] = []
    for _, part in parts:
        found_table = part if isinstance(part, PageTable) else aligned(part, rules) if part.columns else None
        if found_table is not None:
            if last is not None and continued(found_table, last):
                found_table.header = last.header
            out += _apart(out, list(rows(found_table)))
        elif isinstance(part, Region):
            out += _joined(out, list(columns(part)))
        last = found_table
    return out, last


def columns(region: Region) -> Iterator[FlowWord]:
    """The text of a region: of each column after the other, or from top to bottom."""
    if not region.columns:
        yield from paragraphs(region.lines)
        return
    out: list[FlowWord] = []
    for column in region.columns:
        inner: list[FlowWord] = []
        for part in regions(column, 1):
            inner += _joined(inner, list(paragraphs(part.lines) if len(part.columns) < 2 else columns(part)))
        out += _joined(out, inner)
    yield from out


def paragraphs(lines: Sequence[Line]) -> Iterator[FlowWord]:
    """Lines as paragraphs: by their distance, an indent, another size of letters, or an end before its edge."""
    if not lines:
        return
    pitches = [after.middle - before.middle for before, after in itertools.pairwise(lines)]
    usual = min(median(pitches), 1.4 * median(line.height for line in lines)) if pitches else 0.0
    right = max(line.x1 for line in lines)
    before: Line | None = None
    for line in lines:
        parted = NOTHING if before is None else _between(before, line, usual, right)
        for word in line.words:
            yield FlowWord(parted, word.text, word.box, word.confidence, word.height if math.isnan(word.confidence) else 0.0)
            parted = SPACE
        before = line


def _between(before: Line, line: Line, usual: float, right: float) -> str:
    height = min(before.height, line.height)
    if line.middle - before.middle > max(1.35 * usual, 1.2 * height):
        return PARAGRAPH
    if max(before.height, line.height) > 1.15 * height and _bold(before) != _bold(line):
        return PARAGRAPH
    if max(before.height, line.height) > 1.3 * height:
        return PARAGRAPH
    if _bold(before) != _bold(line):
        return LINE
    if (MARK.fullmatch(line.words[0].text) and len(line.words) > 1) or LEADER in [word.text for word in before.words]:
        return LINE
    indented = line.x0 - before.x0
    if 0.8 * height < indented < 5 * height and STOP.search(before.words[-1].text) and not MARK.fullmatch(before.words[0].text):
        return PARAGRAPH
    if BROKEN.search(before.words[-1].text) and line.words[0].text[:1].islower():
        return BREAK
    room = right - before.x1 - (line.words[0].x1 - line.words[0].x0) - 0.5 * height
    return LINE if room > 0 and (STOP.search(before.words[-1].text) or room > 0.25 * (right - before.x0)) else BREAK


def _bold(line: Line) -> bool:
    return all(word.bold for word in line.words)


def rows(table: PageTable) -> Iterator[FlowWord]:
    """A row as lines of "column: value", rows parted by a blank line; without a header its cells side by side."""
    if table.header:
        only = [cell for cell in table.header if cell]
    parted = NOTHING
    if table.header and not table.rows:
        yield from _cells(only, NOTHING)
    for row in table.rows:
        filled = [(name, cell) for name, cell in zip(table.header or [[]] * len(row), row, strict=False) if cell]
        filled = [pair for n, pair in enumerate(filled) if not n or pair[1] != filled[n - 1][1]]
        if not table.header or len(filled) == 1 != len(row):
            yield from _cells([cell for _, cell in filled], parted)
        else:
            for number, (name, cell) in enumerate(filled):
                before = parted if number == 0 else LINE
                if name:
                    yield from _named(name, before)
                    before = SPACE
                yield from _cell(cell, before)
        parted = PARAGRAPH if table.header else LINE


def _cells(cells: Sequence[Sequence[Word]], parted: str) -> Iterator[FlowWord]:
    label = len(cells) == 2 and cells[0][-1].text.endswith(":")
    for cell in cells:
        yield from _cell(cell, parted)
        parted = SPACE if label else " | "


def _named(name: Sequence[Word], parted: str) -> Iterator[FlowWord]:
    *words, last = _cell(name, parted)
    yield from words
    colon = "" if last.text.endswith(":") else ":"
    yield FlowWord(last.before, last.text + colon, last.box, last.confidence)


def _cell(cell: Sequence[Word], parted: str) -> Iterator[FlowWord]:
    for line in lines_of(cell):
        for word in line.words:
            yield FlowWord(parted, word.text, word.box, word.confidence)
            parted = SPACE
        parted = BREAK


def _apart(before: Sequence[FlowWord], words: list[FlowWord]) -> list[FlowWord]:
    """The words as a paragraph of their own."""
    if before and words:
        words[0].before = PARAGRAPH
    return words


def _joined(before: Sequence[FlowWord], words: list[FlowWord]) -> list[FlowWord]:
    """The words of the next column: as a paragraph of their own, or as the rest of one that goes on."""
    if before and words:
        words[0].before = COLUMN
    return words


def flow_text(words: Iterable[FlowWord]) -> str:
    """For messages and tests: as the words stand, nothing joined."""
    return "".join({BREAK: LINE, COLUMN: PARAGRAPH}.get(word.before, word.before) + word.text for word in words)
