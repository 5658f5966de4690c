"""Columns are read one after the other, full-width text between them; lines from the right where their script is."""

import pytest
from pdf_files import COLUMNS, LEFT, RIGHT, Draw, both, lines, pdf_of, row_by_row, word

from mmgen.ingest.pdf import extract
from mmgen.ingest.pdf.reading_order import in_order, lines_of
from mmgen.ingest.pdf.recognition import Recognition


def text_of(*pages: Draw) -> str:
    return extract.read(pdf_of(*pages), Recognition(None))[0]


@pytest.mark.parametrize("draw", [row_by_row(LEFT, RIGHT, xs=(60, 320)), both(lines(*LEFT, x=60), lines(*RIGHT, x=320))])
def test_two_columns_however_they_are_drawn(draw: Draw) -> None:
    assert text_of(draw) == COLUMNS


def test_columns_whose_lines_stand_at_other_heights() -> None:
    assert text_of(both(lines(*LEFT, x=60, step=14), lines(*RIGHT, x=320, y=757, step=16))) == COLUMNS


def test_full_width_lines_stay_above_and_below_the_columns() -> None:
    wide = "A title over both of the columns, as wide as the whole page is from one edge to the other one"
    found = text_of(both(lines(wide, x=60, y=800), row_by_row(LEFT, RIGHT, xs=(60, 320)), lines(wide, x=60, y=580)))
    assert found == f"{wide}\n\n{COLUMNS}\n\n{wide}"


def test_three_columns() -> None:
    columns = [[f"{name} line {n} has words" for n in range(6)] for name in ("First", "Second", "Third")]
    found = text_of(row_by_row(*columns, xs=(40, 220, 400)))
    assert [found.index(name) for name in ("First", "Second", "Third")] == sorted(
        found.index(n) for n in ("First", "Second", "Third")
    )
    assert found.count("First line 5 has words\n\nSecond") == 1


def test_a_list_is_no_column() -> None:
    marks = both(lines("•", "•", "•", x=60), lines("Green tea cost nine crowns.", "Black tea seven.", "White tea more.", x=90))
    assert text_of(marks) == "• Green tea cost nine crowns.\n• Black tea seven.\n• White tea more."


def test_raised_letters_stay_in_their_line() -> None:
    row = [word("10", 10, 10), word("6", 20, 8, height=6), word("chests", 30, 10)]
    assert [line.text for line in lines_of(row)] == ["10 6 chests"]


def test_a_line_of_right_to_left_script() -> None:
    row = [word("שלוש", 10, 0), word("June", 40, 0), word("2024", 70, 0), word("שתיים", 100, 0), word("אחת", 130, 0)]
    assert [one.text for one in in_order(row)] == ["אחת", "שתיים", "June", "2024", "שלוש"]
