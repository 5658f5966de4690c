"""Tables of a Word document: cells to rows, rows to the table's text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mmgen.ingest.formats.office_names import attribute, child, is_on, number_in, value
from mmgen.ingest.formats.table_text import TableCell, table_blocks
from mmgen.ingest.formats.word.open_elements import OpenContainer

MOST_COLUMNS = 1000


def add_cell(cell: OpenContainer, row: OpenContainer, above: Mapping[int, str]) -> None:
    """A cell ends; one that goes on from the row above has that one's text, `above` by column. A deleted one is left out."""
    about = cell.properties
    column = row.cells[-1][0].column + row.cells[-1][0].width if row.cells else 0
    width = max(1, min(number_in(value(about, "w:gridSpan"), 1), MOST_COLUMNS))
    if child(about, "w:cellDel") is not None:
        return
    text = "\n".join(cell.parts)
    merged = child(about, "w:vMerge")
    if merged is not None and attribute(merged, "w:val") in ("", "continue"):
        text = text if text.strip() else above.get(column, "")
    row.cells.append((TableCell(text, column, width), cell.parts))
    row.bold = row.bold and (cell.bold or not text.strip())


def add_row(row: OpenContainer, table: OpenContainer) -> None:
    """A row ends. A deleted or empty one is left out."""
    if child(row.properties, "w:del") is not None:
        return
    skipped = number_in(value(row.properties, "w:gridBefore"), 0)
    if 0 < skipped < MOST_COLUMNS:
        row.cells = [(TableCell(cell.text, cell.column + skipped, cell.width), parts) for cell, parts in row.cells]
    table.above = {cell.column: cell.text for cell, _ in row.cells}
    if any(cell.text.strip() for cell, _ in row.cells):
        table.rows.append((is_on(child(row.properties, "w:tblHeader")), row.bold, row.cells))


def blocks(table: OpenContainer) -> Iterator[str]:
    """A table of one column only frames its paragraphs. Rows marked as headers, or a bold first one, name the columns."""
    rows = table.rows
    if all(len(cells) == 1 for _, _, cells in rows):
        for _, _, cells in rows:
            yield from cells[0][1]
        return
    headers = next((at for at, (header, _, _) in enumerate(rows) if not header), 0)
    if not headers and len(rows) > 1 and rows[0][1] and not rows[1][1] and len(rows[0][2]) > 1:
        headers = 1
    yield from table_blocks([[cell for cell, _ in cells] for _, _, cells in rows], headers or None)
