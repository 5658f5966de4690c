"""Rows of tables carry the names of their columns."""

import pytest

from mmgen.ingest.formats.table_text import TableCell, column_names, guessed, table_blocks


def rows(*lines: str) -> list[list[TableCell]]:
    return [[TableCell(text, at) for at, text in enumerate(line.split("|"))] for line in lines]


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (["Day|Berth", "3 May|Pier 4", "6 May|Pier 11"], 1),
        (["Name|Odile", "Town|Kiel", "Age|40"], 0),
        (["Name|Town|Trade", "Odile|Kiel|baker", "Max|Bonn|smith"], 1),
        (["a|b|c", "d|e|f"], 0),
        (["a|b|c", "d|e|7"], 1),
        (["|2019|2020", "tea|4|5"], 1),
        (["Name:|Odile", "Age:|40"], 0),
        (["x|x|y", "1|2|3", "1|2|3"], 0),
        (["a|1.5|2.5", "b|2.5|3"], 0),
    ],
)
def test_header_by_appearance(lines: list[str], named: int) -> None:
    assert guessed(rows(*lines)) == named


def test_rows_of_two_headers() -> None:
    top = [[TableCell("Item", 0), TableCell("Price", 1, 2)], [TableCell("", 0), TableCell("EUR", 1), TableCell("USD", 2)]]
    assert column_names(top) == {0: "Item", 1: "Price EUR", 2: "Price USD"}
    body = [[TableCell("tea", 0), TableCell("4", 1), TableCell("5", 2)], [TableCell("Soldout", 0, 3)]]
    assert list(table_blocks([*top, *body], 2)) == ["Item: tea\nPrice EUR: 4\nPrice USD: 5", "Soldout"]


def test_a_long_table_without_names_repeats_its_first_row() -> None:
    blocks = list(table_blocks(rows("name|word", *[f"row|{chr(97 + n % 26) * 20}" for n in range(60)])))
    assert len(blocks) > 2 and all(block.startswith("name | word\nrow") for block in blocks)
    assert "".join(blocks).count("row") == 60
    assert list(table_blocks([])) == [] == list(table_blocks(rows("|", " | ")))
