"""Tables of a sheet: where they begin, and which row names their columns."""

import pytest

from mmgen.ingest.formats.sheet_table import SheetCell, SheetTable, header_of


def row(line: str) -> list[SheetCell]:
    return [SheetCell(text.rstrip("#"), at, 1, text.endswith("#")) for at, text in enumerate(line.split("|")) if text]


@pytest.mark.parametrize(
    ("lines", "header"),
    [
        (["Name|Built", "Anna|2024#"], (-1, -1)),
        (["Name|Built", "Anna|2024#", "Berta|2023#"], (0, 0)),
        (["Name|Town", "Anna|Kiel", "Bo|Bonn"], (-1, -1)),
        (["Name|Town|Trade", "Anna|Kiel|baker", "Bo|Bonn|smith"], (0, 0)),
        (["Report", "Name|Town|Age", "Anna|Kiel|4#"], (1, 1)),
        (["Item|2019#|2020#", "tea|4#|5#"], (0, 0)),
        (["a|1#|2#", "b|3#|4#"], (-1, -1)),
        (["x|x|y", "a|1#|2#", "b|1#|2#"], (-1, -1)),
        (["only"], (-1, -1)),
    ],
)
def test_header(lines: list[str], header: tuple[int, int]) -> None:
    assert header_of(list(map(row, lines))) == header


def test_names_of_two_rows() -> None:
    top = [SheetCell("Price", 1, 2)]
    rows = [[SheetCell("Item", 0), *top], row("|EUR|USD"), row("tea|4#|5#"), row("salt|1#|2#")]
    assert header_of(rows) == (0, 1)
    blocks: list[str] = []
    table = SheetTable(lambda *more: blocks.extend(more))
    for number, cells in enumerate(rows, 1):
        table.row(number, cells)
    table.end()
    assert blocks[0] == "Item: tea\nPrice EUR: 4\nPrice USD: 5"


def test_an_empty_row_ends_a_table() -> None:
    """The next one goes on under the same names, or has its own, or none."""
    blocks: list[str] = []
    table = SheetTable(lambda *more: blocks.extend(more))
    given = {
        1: "Name|Built|Price",
        2: "Anna|2024#|1#",
        3: "Bo|2023#|2#",
        5: "Cy|2022#|3#",
        7: "Port|Depth|Fee",
        8: "Kiel|9#|5#",
    }
    for number, line in {**given, 9: "Bonn|4#|6#", 11: "Signed by|Ann|Bo|Cy"}.items():
        table.row(number, row(line))
    table.end()
    assert blocks[2] == "Name: Cy\nBuilt: 2022\nPrice: 3" and blocks[3] == "Port: Kiel\nDepth: 9\nFee: 5"
    assert blocks[-1] == "Signed by | Ann | Bo | Cy"
