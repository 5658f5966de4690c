"""The rows of a sheet as text, as they come: finds where its tables begin and which row names their columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmgen.ingest.formats.table_text import TableCell, column_names, named_blocks, table_blocks

TOP = 40  # rows of a table in which the one with the names is looked for
AT_ONCE = 200  # rows without names that are gathered
YEAR = re.compile(r"(19|20)\d\d")


@dataclass(frozen=True)
class SheetCell:
    """A cell that is not empty."""

    text: str
    column: int  # from 0
    width: int = 1
    data: bool = False  # a number or date, no text

    def plain(self) -> TableCell:
        return TableCell(self.text, self.column, self.width)


SheetRow = Sequence[SheetCell]


class SheetTable:
    """Empty rows end a table; the next one goes on under the same names unless it has its own."""

    def __init__(self, deliver: Callable[..., None]) -> None:
        self.deliver = deliver
        self.rows: list[SheetRow] = []  # that wait
        self.last = 0  # number of the last row
        self.begun = False  # whether the names of the present table are settled
        self.names: dict[int, str] = {}  # of the present table, and of the one before it

    def row(self, number: int, cells: SheetRow) -> None:
        """The next row with cells that are not empty; rows are numbered from 1."""
        if number > self.last + 1:
            self.end()
        self.last = number
        self.rows.append(cells)
        if len(self.rows) >= (AT_ONCE if self.begun else TOP):
            self._flush()

    def end(self) -> None:
        """The table ends, and perhaps the sheet."""
        self._flush()
        self.begun = False

    def _flush(self) -> None:
        rows, self.rows = self.rows, []
        if not rows:
            return
        if not self.begun:
            first, at = header_of(rows)
            if at >= 0:
                self.names = column_names([[cell.plain() for cell in row] for row in rows[first : at + 1]])
                self._plain(rows[:first])
                rows = rows[at + 1 :]
            elif not {cell.column for row in rows for cell in row} <= set(self.names) or len(self.names) > 2 * max(
                map(len, rows)
            ):
                self.names = {}
            self.begun = True
        if self.names:
            self.deliver(*named_blocks([[cell.plain() for cell in row] for row in rows], self.names))
        else:
            self._plain(rows)

    def _plain(self, rows: Sequence[SheetRow]) -> None:
        self.deliver(*table_blocks([[cell.plain() for cell in row] for row in rows], 0))


def header_of(rows: Sequence[SheetRow]) -> tuple[int, int]:
    """The first and the last row that name the columns of a table; -1 where none does.

    Names are different texts, years or dates, in more than half of the columns, with a row below them; two columns of words
    can as well be names and values. Cells across several columns above the names are part of them.
    """
    usual = Counter(len(row) for row in rows).most_common(1)[0][0]
    at = next((at for at, row in enumerate(rows) if 2 * len(row) > usual and (len(row) > 1 or usual == 1)), len(rows))
    wide = at
    while at < len(rows) - 2 and any(cell.width > 1 for cell in rows[at]) and _goes_on(rows[at : at + 3]):
        at += 1
    if at >= len(rows) - 1 or len(rows[at]) < 2:
        return -1, -1
    names, below = rows[at], rows[at + 1 :]
    texts = [cell.text for cell in names]
    data = [cell for cell in names if cell.data]
    if len(set(texts)) < len(texts) or names[0].data or any(not _names(cell, below) for cell in data):
        return -1, -1
    kinds = {cell.column: cell.data for row in below for cell in row}
    differs = any(kinds.get(cell.column, False) and not cell.data for cell in names)
    first_differs = kinds.get(names[0].column, False)
    if data or (differs and (len(names) > 2 or first_differs or len(below) > 1)) or (len(names) > 2 and len(below) > 1):
        while wide > 0 and any(cell.width > 1 for cell in rows[wide - 1]) and len(rows[wide - 1]) > 1:
            wide -= 1
        return wide, at
    return -1, -1


def _goes_on(rows: Sequence[SheetRow]) -> bool:
    """Whether the second of three rows names the columns below the wide cells of the first."""
    first, second, third = rows
    return len(first) < len(second) or (any(cell.data for cell in third) and not any(cell.data for cell in second))


def _names(cell: SheetCell, below: Sequence[SheetRow]) -> bool:
    """Whether a number or date names its column: a year, or a date above what is none."""
    if YEAR.fullmatch(cell.text):
        return True
    looks = re.sub(r"\d+", "0", cell.text)
    return not cell.text.replace(".", "").replace(",", "").isdigit() and not any(
        re.sub(r"\d+", "0", other.text) == looks for row in below for other in row if other.column == cell.column
    )
