"""Tables of a page: cells between drawn lines, or aligned between white strips; every row says what its columns are called."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import mean, median

from mmgen.ingest.pdf.reading_order import Line, Region, lines_of, split
from mmgen.ingest.pdf.words import Box, Word

TOUCH = 3.0  # points by which lines may miss one another
LEAST = 6.0  # points that a ruled cell is wide and high, at least
PROSE = 4.0  # words of a line, on average, from which on a column is running text
NUMBER = re.compile(r"[-+−–(]?[€$£¥]?\s?\d[\d.,'’\u00a0\u202f ]*\)?\s?(%|[€$£¥]|[A-Za-z]{1,4}\.?)?|[-–—]|n/?a", re.I)
"""A figure, or the mark of a missing one."""

Cell = list[Word]


@dataclass
class PageTable:
    """Rows of cells; a cell that spans several columns stands in each of them."""

    rows: list[list[Cell]]
    header: list[Cell] = field(default_factory=list)  # names of the columns; empty: they have none
    spans: tuple[float, ...] = ()  # where the columns begin and end, points

    @property
    def top(self) -> float:
        return min(word.y0 for row in [self.header, *self.rows] for cell in row for word in cell)

    @property
    def bottom(self) -> float:
        return max(word.y1 for row in [self.header, *self.rows] for cell in row for word in cell)


def ruled(words: Sequence[Word], rules: Sequence[Box]) -> tuple[list[PageTable], list[Word]]:
    """The tables whose cells are drawn as boxes, and the words outside them."""
    left = list(words)
    out = []
    for across, down in _grids(rules):
        area = (down[0].x0, across[0].y0, down[-1].x1, across[-1].y1)
        inside = [word for word in left if _within(word, area)]
        xs, ys = _places([rule.x0 for rule in down]), _places([rule.y0 for rule in across])
        if len(xs) < 3 or len(ys) < 3 or len(inside) < 3:
            continue
        table = _filled(inside, xs, ys, down)
        if table is not None:
            out.append(table)
            taken = set(map(id, inside))
            left = [word for word in left if id(word) not in taken]
    return out, left


def aligned(region: Region, rules: Sequence[Box]) -> PageTable | None:
    """A region whose columns are those of a table and no running text, else None.

    The first line names the columns where something says so: it is bold, columns of figures follow, or level rules are drawn.
    """
    columns = [lines_of(column) for column in region.columns]
    rows = [split(line.words, _strips(region)) for line in region.lines]
    figures = [_share_of_figures(rows, column) for column in range(len(columns))]
    if all(_is_prose(column) for column in columns) or (_is_prose(columns[0]) and max(figures[1:]) < 0.5):
        return None
    common = sum(sum(map(bool, row)) > 1 for row in rows)
    if common < max(2, 0.6 * min(map(len, columns))):
        return None
    titles = 0  # lines above the header
    while titles < len(rows) - 1 and sum(map(bool, rows[titles])) == 1:
        titles += 1
    above, rows = rows[:titles], rows[titles:]
    first = [word for cell in rows[0] for word in cell]
    bold = all(word.bold for word in first) and not all(word.bold for line in region.lines[titles:] for word in line.words)
    drawn = len({round(rule[1]) for rule in rules if _crosses(rule, region)}) >= 2
    labels = len(columns) == 2 and sum(line.text.endswith(":") for line in columns[0]) >= 0.6 * len(columns[0])
    if len(rows) < 3 or (labels and not bold) or not (bold or drawn or max(figures[1:]) >= 0.5):
        return PageTable([*above, *_joined(rows)], [], _edges(region))
    names = _header_lines(rows, figures, bold)
    header = [[word for row in rows[:names] for word in row[column]] for column in range(len(columns))] if names else []
    return PageTable([*above, *_joined(rows[names:])], header, _edges(region))


def continued(table: PageTable, before: PageTable) -> bool:
    """Whether a table without a header is the other one's next part, on the next page."""
    if table.header or len(table.spans) != len(before.spans) or not before.header:
        return False
    return all(abs(a - b) < 20 for a, b in zip(table.spans, before.spans, strict=True))


@dataclass(frozen=True)
class _Rule:
    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def level(self) -> bool:
        return self.x1 - self.x0 > self.y1 - self.y0


def _grids(rules: Sequence[Box]) -> Iterator[tuple[list[_Rule], list[_Rule]]]:
    """Level and upright rules that touch one another, sorted by place."""
    every = [_Rule(*rule) for rule in rules if max(rule[2] - rule[0], rule[3] - rule[1]) > LEAST]
    groups: list[list[_Rule]] = []
    for rule in every:
        touched = [group for group in groups if any(_touch(rule, other) for other in group)]
        groups = [group for group in groups if group not in touched] + [[rule, *(one for group in touched for one in group)]]
    for group in sorted(groups, key=lambda group: min(rule.y0 for rule in group)):
        across = sorted((rule for rule in group if rule.level), key=lambda rule: rule.y0)
        down = sorted((rule for rule in group if not rule.level), key=lambda rule: rule.x0)
        if across and down:
            yield across, down


def _touch(a: _Rule, b: _Rule) -> bool:
    return min(a.x1, b.x1) - max(a.x0, b.x0) >= -TOUCH and min(a.y1, b.y1) - max(a.y0, b.y0) >= -TOUCH


def _places(values: Sequence[float]) -> list[float]:
    out: list[float] = []
    for value in sorted(values):
        if not out or value - out[-1] > LEAST:
            out.append(value)
    return out


def _within(word: Word, area: Box) -> bool:
    x, y = (word.x0 + word.x1) / 2, word.middle
    return area[0] - TOUCH <= x <= area[2] + TOUCH and area[1] - TOUCH <= y <= area[3] + TOUCH


def _filled(words: Sequence[Word], xs: Sequence[float], ys: Sequence[float], down: Sequence[_Rule]) -> PageTable | None:
    rows: list[list[Cell]] = []
    merged: list[bool] = []
    for top, bottom in itertools.pairwise(ys):
        inside = [word for word in words if top <= word.middle < bottom]
        middle = (top + bottom) / 2
        walls = [x for x in xs[1:-1] if any(abs(rule.x0 - x) < LEAST and rule.y0 - 1 <= middle <= rule.y1 + 1 for rule in down)]
        row: list[Cell] = []
        for left, right in itertools.pairwise(xs):
            begin = max([xs[0], *(wall for wall in walls if wall <= left)])
            end = min([xs[-1], *(wall for wall in walls if wall >= right)])
            row.append([word for word in inside if begin - TOUCH <= (word.x0 + word.x1) / 2 < end])
        if any(row):
            rows.append([[word for line in lines_of(cell) for word in line.words] for cell in row])
            merged.append(len(walls) < len(xs) - 2)
    if len(rows) < 2:
        return None
    names = 0
    while names < len(rows) - 1 and merged[names] and len(_distinct(rows[names])) > 1:
        names += 1
    figures = [_share_of_figures(rows[names:], column) for column in range(len(xs) - 1)]
    names += _header_lines(rows[names:], figures, all(word.bold for cell in rows[names] for word in cell), most=1)
    header = [_once([word for row in rows[:names] for word in row[column]]) for column in range(len(xs) - 1)] if names else []
    return PageTable(rows[names:], header, tuple(xs))


def _distinct(row: Sequence[Cell]) -> list[Cell]:
    return [cell for cell, before in zip(row, [[], *row], strict=False) if cell and cell != before]


def _once(cell: Cell) -> Cell:
    return list({id(word): word for word in cell}.values())


def _is_prose(column: Sequence[Line]) -> bool:
    """Lines of several words that mostly reach the column's edge."""
    words = median(len(line.words) for line in column)
    if len(column) < 2:
        return words >= 2 * PROSE
    width = max(line.x1 for line in column) - min(line.x0 for line in column)
    full = mean((line.x1 - line.x0) / max(width, 1) for line in column[:-1])
    return words > PROSE or (words >= PROSE - 1 and full >= 0.7)


def _strips(region: Region) -> list[tuple[float, float]]:
    ends = [(min(word.x0 for word in column), max(word.x1 for word in column)) for column in region.columns]
    return [(before[1], after[0]) for before, after in itertools.pairwise(ends)]


def _edges(region: Region) -> tuple[float, ...]:
    return (*(min(word.x0 for word in column) for column in region.columns), max(line.x1 for line in region.lines))


def _share_of_figures(rows: Sequence[Sequence[Cell]], column: int) -> float:
    """Of its cells; a column that is mostly empty has none."""
    cells = [" ".join(word.text for word in row[column]) for row in rows if row[column]]
    return sum(bool(NUMBER.fullmatch(cell)) for cell in cells) / max(len(cells), len(rows) / 2, 2)


def _crosses(rule: Box, region: Region) -> bool:
    """Whether a level rule runs over, under or through most of the region."""
    x0, y0, x1, y1 = rule
    left, right = min(line.x0 for line in region.lines), max(line.x1 for line in region.lines)
    top, bottom = region.lines[0], region.lines[-1]
    near = top.middle - 2 * top.height <= y0 <= bottom.middle + 2 * bottom.height
    return near and y1 - y0 < TOUCH and min(x1, right) - max(x0, left) > 0.7 * (right - left)


def _header_lines(rows: Sequence[Sequence[Cell]], figures: Sequence[float], bold: bool, most: int = 3) -> int:
    """How many of the first rows name the columns: those in bold, or those before the first row of figures."""
    if bold:
        count = 1
        while count < min(most, len(rows) - 1) and all(word.bold for cell in rows[count] for word in cell):
            count += 1
        return count
    with_figures = [column for column, share in enumerate(figures) if share >= 0.5]
    for count, row in enumerate(rows[: most + 1]):
        if any(NUMBER.fullmatch(" ".join(word.text for word in row[column])) for column in with_figures if row[column]):
            named = sum(any(row[column] for row in rows[:count]) for column in range(len(figures)))
            return count if 2 * named > len(figures) else 0
    return 1 if not with_figures and len(rows) > 1 and len(rows[0]) > 2 and all(rows[0]) else 0


def _joined(rows: Sequence[Sequence[Cell]]) -> list[list[Cell]]:
    """A row whose first cell is empty goes on with the one before, where it fills fewer cells."""
    out: list[list[Cell]] = []
    for row in rows:
        if out and not row[0] and 0 < sum(map(bool, row)) < sum(map(bool, out[-1])):
            out[-1] = [[*before, *more] for before, more in zip(out[-1], row, strict=True)]
        elif any(row):
            out.append([list(cell) for cell in row])
    return out
