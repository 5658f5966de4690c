"""Tables of documents as text: rows that carry the names of their columns, merged cells in each row and column they span."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mmgen.ingest.records import LONGEST_NAME, PIECE, record, tokens

MOST_NAMES = 4  # rows that name the columns at most


@dataclass(frozen=True)
class TableCell:
    """A cell with the columns it spans. One that spans rows too stands in each of them."""

    text: str
    column: int  # from 0
    width: int = 1


TableRow = Sequence[TableCell]


def table_blocks(rows: Sequence[TableRow], named: int | None = None) -> Iterator[str]:
    """A row of a table with named columns becomes lines of `name: value`; else lines of cells, `a | b`.

    Of a long table without names each block repeats the first row, which may name the columns after all.

    Args:
        rows: of the table, white space in their cells is collapsed.
        named: how many rows at the top name the columns, as the document says; None: the content tells.
    """
    rows = [[TableCell(" ".join(cell.text.split()), cell.column, cell.width) for cell in row] for row in rows]
    rows = [row for row in rows if any(cell.text for cell in row)]
    if not rows:
        return
    top = min(guessed(rows) if named is None else named, MOST_NAMES)
    if top and top < len(rows):
        yield from named_blocks(rows[top:], column_names(rows[:top]))
    else:
        yield from _plain(rows)


def named_blocks(rows: Sequence[TableRow], names: dict[int, str]) -> Iterator[str]:
    """Rows below their header. A cell across several columns has the names of all; one across the table stands alone."""
    for row in rows:
        filled = [cell for cell in row if cell.text]
        if len(filled) == 1 and filled[0].width > 1 and filled[0].width >= len(names):
            yield filled[0].text
        elif filled:
            yield record([(_names(cell, names), cell.text) for cell in filled])


def column_names(rows: Sequence[TableRow]) -> dict[int, str]:
    """Column -> name, of the rows that name them: `Price EUR` below a cell that spans both columns of prices."""
    parts: dict[int, list[str]] = {}
    for row in rows:
        for cell in row:
            for column in range(cell.column, cell.column + cell.width):
                told = parts.setdefault(column, [])
                if cell.text and cell.text not in told:
                    told.append(cell.text)
    names = {column: " ".join(told) or f"column {column + 1}" for column, told in parts.items()}
    return {column: name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "…" for column, name in names.items()}


def guessed(rows: Sequence[TableRow]) -> int:
    """1 where the first row names the columns by all appearance, else 0.

    Its cells are all filled, different and without digits, where the cells below the first of them have some; or there are
    three columns or more. Two columns of words can as well be names and values.
    """
    first, rest = rows[0], rows[1:]
    columns = {cell.column for row in rows for cell in row}
    words = [cell.text for cell in first]
    if len(rest) < 1 or len(columns) < 2 or len(first) < len(columns) or len(set(words)) < len(words):
        return 0
    if not all(words[1:]) or any(
        len(word) > LONGEST_NAME or re.search(r"\d[.,:/-]\d|^(?!(19|20)\d\d$)[-+]?\d+%?$|:$", word) for word in words
    ):
        return 0
    if len(columns) > 2:
        return int(len(rest) > 1 or any(re.search(r"\d", cell.text) for row in rest for cell in row))
    below = [cell.text for row in rest for cell in row if cell.column == first[0].column and cell.text]
    return int(bool(below) and not re.search(r"\d", words[0]) and all(re.search(r"\d", text) for text in below))


def _names(cell: TableCell, names: dict[int, str]) -> str:
    spanned = (names.get(column, f"column {column + 1}") for column in range(cell.column, cell.column + min(cell.width, 50)))
    return ", ".join(dict.fromkeys(spanned))


def _plain(rows: Sequence[TableRow]) -> Iterator[str]:
    lines = [" | ".join(cell.text for cell in row) for row in rows]
    head = lines[0] if tokens(lines[0]) <= PIECE // 3 else ""
    block, used = [lines[0]], tokens(lines[0])
    for line in lines[1:]:
        size = tokens(line)
        if used + size > PIECE:
            yield "\n".join(block)
            block, used = ([head], tokens(head)) if head else ([], 0)
        block.append(line)
        used += size
    yield "\n".join(block)
