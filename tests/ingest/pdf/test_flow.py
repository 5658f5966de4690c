"""Paragraphs of a page: what is one, and what is read after the rest."""

import pytest
from pdf_files import Draw, both, lines, pdf_of
from reportlab.pdfgen.canvas import Canvas

from mmgen.ingest.pdf import extract
from mmgen.ingest.pdf.flow import FlowWord, flow_text
from mmgen.ingest.pdf.recognition import Recognition

LONG = [
    "This paragraph has three lines, all of which reach",
    "nearly to the edge of what is printed here, so that",
    "they are one.",
]


def text_of(*pages: Draw) -> str:
    return extract.read(pdf_of(*pages), Recognition(None))[0]


def test_a_paragraph_is_one_line() -> None:
    assert text_of(lines(*LONG)) == " ".join(LONG)


def test_paragraphs_by_distance_and_by_indent() -> None:
    assert text_of(both(lines(*LONG), lines(*LONG, y=700))) == " ".join(LONG) + "\n\n" + " ".join(LONG)
    assert text_of(both(lines(*LONG), lines(LONG[0], x=90, y=715), lines(*LONG[1:], y=700))).count("\n\n") == 1


def test_lines_that_end_on_purpose_stay_lines() -> None:
    address = ["Jonas Wedel", "12 Mill Lane", "in the old town of Aarhus"]
    assert text_of(lines(*address)) == "\n".join(address)


def test_a_heading_is_a_paragraph_of_its_own() -> None:
    def heading(canvas: Canvas) -> None:
        canvas.setFont("Helvetica-Bold", 16)
        canvas.drawString(72, 775, "Prices")
        canvas.setFont("Helvetica", 11)

    assert text_of(both(heading, lines(*LONG, y=758))) == "# Prices\n\n" + " ".join(LONG)


def test_turned_text_comes_after_the_rest() -> None:
    def margin(canvas: Canvas) -> None:
        canvas.saveState()
        canvas.translate(40, 500)
        canvas.rotate(90)
        canvas.drawString(0, 0, "Received in May")
        canvas.restoreState()

    assert text_of(both(margin, lines(*LONG))) == " ".join(LONG) + "\n\nReceived in May"


@pytest.mark.parametrize(
    ("first", "second", "between"),
    [
        ("and goes", "on here", " "),
        ("and ends.", "then more", "\n\n"),
        ("and goes", "Then more", "\n\n"),
        ("collec-", "tion", ""),
    ],
)
def test_a_paragraph_may_go_on_on_the_next_page(first: str, second: str, between: str) -> None:
    text, starts, _, _ = extract.read(pdf_of(lines(first), lines(second)), Recognition(None))
    assert text == first.rstrip("-") + between + second
    assert starts == (0, len(text) - len(second))


def test_the_words_as_they_stand() -> None:
    assert flow_text([FlowWord("", "a", (0, 0, 1, 1), 1), FlowWord("\v", "b", (0, 0, 1, 1), 1)]) == "a\n\nb"
