"""Which paragraphs are headings, and of what level."""

from array import array
from pathlib import Path

import pytest
from pdf_files import both, lines, pdf_of
from reportlab.pdfgen.canvas import Canvas

from mmgen.ingest.pdf.extract import pdf
from mmgen.ingest.pdf.flow import BREAK, COLUMN, NOTHING, PARAGRAPH, SPACE
from mmgen.ingest.pdf.headings import headings

BODY = ("The museum keeps a collection of old weather instruments and shows them on Sundays.", 10.0)


def found(*paragraphs: tuple[str, float]) -> dict[tuple[int, int], tuple[int, int]]:
    words, before, heights = [], [], array("f")
    for text, height in paragraphs:
        some = text.split()
        words += some
        before += [PARAGRAPH if before else NOTHING, *[SPACE] * (len(some) - 1)]
        heights.extend([height] * len(some))
    return headings([words], [before], [heights])


def test_levels_by_size() -> None:
    marked = found(("The Museum", 24), ("Weather", 16), BODY, BODY, ("Tides", 15.5), BODY, ("Of the moon", 12.5), BODY)
    assert [(last - first, level) for (_, first), (last, level) in marked.items()] == [(2, 1), (1, 2), (1, 2), (3, 3)]


NONE = [("Weather", 11), ("It is large.", 16), ("42 %", 30), ("T", 30), ("# Weather", 16), ("word " * 40, 16), ("Weather", 0)]


@pytest.mark.parametrize("paragraph", NONE)
def test_what_is_no_heading(paragraph: tuple[str, float]) -> None:
    assert found(paragraph, BODY, BODY, BODY) == {}


def test_where_most_is_large_nothing_is_a_heading() -> None:
    assert found(("Great summer sale", 40), ("All of it", 20), ("until Sunday at our stores", 10)) == {}
    assert headings([], [], []) == {} and headings([["a"]], [[NOTHING]], [array("f", [0])]) == {}


def test_a_heading_of_two_lines_and_one_behind_a_column() -> None:
    words = ["ends.", "Old", "Clocks", *BODY[0].split() * 2]
    before = [NOTHING, COLUMN, BREAK, PARAGRAPH, *[SPACE] * (len(words) - 4)]
    assert headings([words], [before], [array("f", [10, 16, 16, *[10] * (len(words) - 3)])]) == {(0, 1): (3, 1)}


def test_in_a_file_they_are_marked_and_their_words_keep_their_places() -> None:
    def large(text: str, y: float, size: float) -> object:
        def draw(canvas: Canvas) -> None:
            canvas.setFont("Helvetica", size)
            canvas.drawString(72, y, text)
            canvas.setFont("Helvetica", 11)

        return draw

    body = ["The museum keeps instruments that nobody uses", "any more, and shows them on Sundays from ten."]
    page = both(large("The Museum", 780, 26), lines(*body, y=740), large("Tides and winds", 690, 17), lines(*body, y=665))
    text, starts, _, layouts = pdf(Path("a.pdf"), pdf_of(page))
    joined = " ".join(body)
    assert text == f"# The Museum\n\n{joined}\n\n## Tides and winds\n\n{joined}" and starts == (2,)
    spans = layouts[0].words()[0]
    assert [text[a:b] for a, b in spans[:3]] == ["The", "Museum", "The"]
