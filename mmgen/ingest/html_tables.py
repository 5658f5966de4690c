"""Tables of a page as lines of cells: what spans several rows stands in each, pieces of a long table carry the header."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmgen.ingest.html_inline import inline
from mmgen.ingest.records import PIECE, tokens

if TYPE_CHECKING:
    from lxml.html import HtmlElement

CELLS = ("td", "th")
LAYOUT = ("table", "pre", "h1", "h2", "h3", "form", "textarea")  # in a table that arranges a page
LONGEST_CELL = 1500  # characters
REPEATED = 80  # characters of a cell that are repeated in the rows it spans
MOST_COLUMNS = 1000


def is_data(table: HtmlElement) -> bool:
    """Whether a table holds rows of values, not a page's layout."""
    inside = table.iterdescendants(*LAYOUT)
    return next(inside, None) is None and all(sum(map(len, cell.itertext())) <= LONGEST_CELL for cell in table.iter(*CELLS))


def table_text(table: HtmlElement) -> str:
    """Lines of cells with " | " between; the caption above. A long table is cut into blocks that begin with its header."""
    rows = list(_rows(table))
    lines = [" | ".join(cells).rstrip() for cells, _ in rows]
    header = lines[0] if rows and rows[0][1] and len(lines) > 1 else ""
    blocks, used = [list[str]()], 0
    for line in lines:
        size = tokens(line)
        if used + size > PIECE and used and line != header:
            blocks.append([header] if header else [])
            used = tokens(header)
        blocks[-1].append(line)
        used += size
    captions = [text for caption in table.iter("caption") if (text := inline(caption))]
    return "\n\n".join([*captions, *("\n".join(block) for block in blocks if any(block))])


def _rows(table: HtmlElement) -> Iterator[tuple[list[str], bool]]:
    """Each row's cells, and whether it is a header."""
    spanning: dict[int, tuple[str, int]] = {}  # column -> text, rows left
    room = 10_000 + 4 * sum(map(len, table.itertext()))  # characters that may be repeated
    for row in table.iter("tr"):
        cells: list[str] = []
        at = 0
        own = [cell for cell in row if cell.tag in CELLS]
        for cell in own:
            while at in spanning:
                at = _spanned(at, spanning, cells)
            text = inline(cell)
            cells.append(text)
            rows, columns = _number(cell, "rowspan"), _number(cell, "colspan")
            if rows > 1 and room > 0:
                shown = text if len(text) <= REPEATED else ""
                room -= (rows - 1) * len(shown)
                spanning[at] = (shown, rows - 1)
            at += columns
        while own and at in spanning:
            at = _spanned(at, spanning, cells)
        if any(cells):
            yield cells, bool(own) and all(cell.tag == "th" for cell in own)


def _spanned(at: int, spanning: dict[int, tuple[str, int]], cells: list[str]) -> int:
    """Adds the cell from a row above; the next column."""
    text, left = spanning.pop(at)
    cells.append(text)
    if left > 1:
        spanning[at] = (text, left - 1)
    return at + 1


def _number(cell: HtmlElement, name: str) -> int:
    given = cell.get(name, "1")
    return max(1, min(int(given), MOST_COLUMNS)) if given.isdecimal() and len(given) < 9 else 1
