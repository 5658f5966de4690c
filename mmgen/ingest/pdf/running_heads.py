"""Headers, footers and page numbers: lines at the edge of pages that repeat, or that count the pages."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from mmgen.ingest.pdf.reading_order import Line, lines_of
from mmgen.ingest.pdf.words import PageWords

EDGE = 0.14  # of the page's height: how far from its upper and lower end they stand
DEEPEST = 4  # lines
PAGES = 3  # on which a line stands before it counts as repeated
DRIFT = 4.0  # points by which its height may change from page to page
COUNT = re.compile(
    r"(page|seite|pagina|página|side|s\.|p\.)?\s*[-–—|\[(]?\s*(\d{1,4}|[ivxlc]{1,6})\s*[-–—|\])]?(\s*(of|von|/|de|di|sur|av|af)\s*\d{1,4})?",
    re.I,
)


@dataclass(frozen=True)
class EdgeLine:
    """A line that stands at the edge of a page, where nothing else lies outside it but other such lines."""

    page: int
    line: Line
    key: tuple[str, int]  # its text without numbers, and its height


def without_running_heads(pages: Sequence[PageWords]) -> list[str]:
    """Takes out of every page what repeats, but for the first time, and page numbers -> what was taken out, in words."""
    edges = [edge for page in pages for edge in _edges(page)]
    where: dict[tuple[str, int], list[EdgeLine]] = defaultdict(list)
    for edge in edges:
        where[edge.key].append(edge)
    gone: dict[int, set[int]] = defaultdict(set)
    told: dict[str, int] = {}
    stopped: set[tuple[int, bool]] = set()  # page, upper edge: a line of the text stands there
    numbers = 0
    numbered, counted = _counting(edges)
    for edge in edges:
        side = (edge.page, edge.key[1] < 0)
        same = _same(edge, where)
        if side in stopped:
            continue
        if id(edge) in numbered:
            numbers += 1
        elif len({one.page for one in same}) < (2 if id(edge) in counted else PAGES):
            stopped.add(side)
            continue
        elif same[0].page == edge.page:
            told.setdefault(edge.line.text, len({one.page for one in same}))
            continue
        gone[edge.page].update(map(id, edge.line.words))
    for page in pages:
        if page.number in gone:
            page.words = [word for word in page.words if id(word) not in gone[page.number]]
    out = [f'"{text[:80]}" on {count} pages' for text, count in told.items()]
    return out + ([f"the numbers of {numbers} pages"] if numbers else [])


def _edges(page: PageWords) -> list[EdgeLine]:
    """From the edge inwards, upper ones first. Keys of upper lines are negative."""
    if not page.words or page.recognized:
        return []
    lines = lines_of([word for word in page.words if not word.angle])
    height = page.frame.height
    upper = [line for line in lines if line.middle < EDGE * height][:DEEPEST]
    lower = [line for line in reversed(lines) if line.middle > (1 - EDGE) * height and line not in upper][:DEEPEST]
    out = [EdgeLine(page.number, line, (_shape(line.text), -1 - int(line.middle // DRIFT))) for line in upper]
    return out + [EdgeLine(page.number, line, (_shape(line.text), 1 + int((height - line.middle) // DRIFT))) for line in lower]


def _same(edge: EdgeLine, where: dict[tuple[str, int], list[EdgeLine]]) -> list[EdgeLine]:
    """The lines of the same words at about the same height, in the order of their pages."""
    shape, height = edge.key
    near = [one for drift in (-1, 0, 1) for one in where.get((shape, height + drift), ())]
    return sorted(near, key=lambda one: one.page)


def _shape(text: str) -> str:
    return re.sub(r"\d+", "#", text)


def _counting(edges: Sequence[EdgeLine]) -> tuple[set[int], set[int]]:
    """Ids of the lines that are their page's number, and of those that begin or end with it beside other words.

    A line is one as "page 3 of 12", or where its number goes up with the pages.
    """
    numbered: set[int] = set()
    steps: dict[int, list[EdgeLine]] = defaultdict(list)
    for edge in edges:
        text = edge.line.text.strip()
        if (found := COUNT.fullmatch(text)) and (found[1] or found[3]):
            numbered.add(id(edge))
        number = found[2] if found else next(iter(re.findall(r"^\d{1,4}(?=\s)|(?<=\s)\d{1,4}$", text)), "")
        if number:
            steps[(int(number) if number.isdigit() else _roman(number)) - edge.page].append(edge)
    going_up = [edge for several in steps.values() if len({edge.page for edge in several}) >= PAGES for edge in several]
    going_up += [edge for several in steps.values() if len({edge.page for edge in several}) == 2 for edge in several
                 if COUNT.fullmatch(edge.line.text.strip())]  # fmt: skip
    alone = {id(edge) for edge in going_up if COUNT.fullmatch(edge.line.text.strip())}
    return numbered | alone, {id(edge) for edge in going_up} - alone


def _roman(digits: str) -> int:
    values = [{"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}[digit] for digit in digits.lower()]
    return sum(-value if value < max(values[n:]) else value for n, value in enumerate(values))
