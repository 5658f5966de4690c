"""A whole file: offsets and boxes agree with the text, and everything that could not be read is told."""

import io
from pathlib import Path

import numpy as np
import pytest
from pdf_files import COLUMNS, LEFT, RIGHT, Draw, both, lines, pdf_of, photographed, picture, row_by_row, word
from pypdf import PdfReader, PdfWriter

from mmgen.ingest import loaders
from mmgen.ingest.charset import Unreadable
from mmgen.ingest.extraction.limits import Extraction
from mmgen.ingest.pdf import extract, words
from mmgen.ingest.pdf.extract import numbers
from mmgen.ingest.pdf.recognition import Recognition
from mmgen.ingest.records import PARTIAL

OFF = Recognition(None)
SCAN = picture(photographed("Clause 4."))


def read(data: bytes, recognition: Recognition = OFF) -> Extraction:
    return extract.read(data, recognition)


def test_every_word_has_its_offsets_and_its_box() -> None:
    draw = row_by_row(LEFT, RIGHT, xs=(60, 320))
    text, pages, found, layouts = read(pdf_of(lines("A cover."), draw))
    assert text == f"A cover.\n\n{COLUMNS}" and pages == (0, 10) and found == {}
    assert [(one.number, one.width, one.height) for one in layouts] == [(1, 595, 842), (2, 595, 842)]
    page = layouts[1]
    spans, boxes, _ = page.words()
    said = [text[a:b] for a, b in spans]
    assert "".join(said) == "".join(COLUMNS.split()), "nothing but white space stands between"
    at = said.index("collec")
    assert said[at + 1] == "tion" and boxes[at + 1][0] < boxes[at][0] and boxes[at + 1][1] > boxes[at][1]
    garden = boxes[said.index("garden")]
    assert garden[0] > 330 and 65 < garden[1] < 75 < garden[3] < 90


def test_a_turned_page_is_read_as_it_is_shown() -> None:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf_of(row_by_row(LEFT, RIGHT, xs=(60, 320))))))
    writer.pages[0].rotate(90)
    writer.write(out := io.BytesIO())
    text, _, _, (page,) = read(out.getvalue())
    assert text == COLUMNS and (page.width, page.height) == (842, 595)
    box = page.words()[1][0]
    assert box[0] > 700 and box[1] < 70, "the text runs down from the upper right corner"


def test_pages_that_are_pictures_are_told() -> None:
    text, pages, found, _ = read(pdf_of(lines("The cover."), SCAN, SCAN, lines("The end.")))
    assert text == "The cover.\n\nThe end." and pages[0] == 0 and pages[3] == 12
    assert found == {PARTIAL: "pages 2-3 are pictures; pip install 'mmgen[ocr]' reads them"}


def test_a_scan_with_a_stamp_is_a_picture_and_a_blank_page_is_none() -> None:
    found = read(pdf_of(lines("The cover."), both(SCAN, lines("Scanned by K.")), lambda canvas: None))[2]
    assert found[PARTIAL] == "page 2 is a picture; pip install 'mmgen[ocr]' reads them".replace("them", "it")


def test_only_pictures() -> None:
    with pytest.raises(Unreadable, match=r"has 1 page and no text: page 1 is a picture; pip install 'mmgen\[ocr\]' reads it"):
        read(pdf_of(SCAN))
    with pytest.raises(Unreadable, match="has 2 pages and no text; its pages are blank"):
        read(pdf_of(lines(""), lines("")))


def test_a_text_layer_of_no_use_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "words_of", lambda *_: [word(text, 72, 70) for text in ["7KHX", "PXVHXP", "NHHSV"] * 16])
    with pytest.raises(Unreadable, match="page 1 is a picture"):
        read(pdf_of(lines("The museum keeps a collection", "of instruments.")))


def test_a_file_that_is_cut_short_says_so() -> None:
    data = pdf_of(lines("The museum."))
    assert "the file is cut short" in str(read(data[: data.rindex(b"startxref")])[2][PARTIAL])


def test_attached_files_and_letters_that_were_left_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf_of(lines("The museum.")))))
    writer.add_attachment("prices.csv", b"a,b")
    writer.write(out := io.BytesIO())
    assert read(out.getvalue())[2][PARTIAL] == "1 attached file (prices.csv)"
    monkeypatch.setattr(words, "MOST_CHARACTERS", 3)
    assert read(pdf_of(lines("The museum.")))[2][PARTIAL] == "8 of 11 characters (page 1)"


def test_a_text_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "MOST_CHARACTERS", 10)
    monkeypatch.setattr(extract, "AT_ONCE", 1)
    text, _, found, _ = read(pdf_of(*[lines("The museum keeps.")] * 3))
    assert text == "The museum keeps." and found[PARTIAL] == "pages after 1 of 3: the text is too long; split the file"


def test_a_page_that_is_damaged_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = extract._read

    def torn(document: object, number: int) -> object:
        if number == 2:
            raise Unreadable("page 2 is damaged")
        return whole(document, number)  # type: ignore[arg-type]

    monkeypatch.setattr(extract, "_read", torn)
    text, pages, found, _ = read(pdf_of(lines("One."), lines("Two."), lines("Three.")))
    assert text == "One.\n\nThree." and len(pages) == 3 and found[PARTIAL] == "is damaged (page 2)"


def test_numbers_of_pages() -> None:
    assert [numbers(pages) for pages in ([3], [2, 3], [9, 2, 3, 4])] == ["page 3", "pages 2-3", "pages 2-4, 9"]


def test_pages_are_told_as_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told may raise, which ends it."""
    seen: list[tuple[int, int]] = []

    def tell(done: int, of: int) -> None:
        seen.append((done, of))
        if done == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(extract.progress, "tell", tell)
    draws: list[Draw] = [lines("One.")] * 3
    with pytest.raises(KeyboardInterrupt):
        read(pdf_of(*draws))
    assert seen == [(0, 3), (1, 3), (2, 3)]


def test_through_the_worker_process() -> None:
    """As documents are read: the layout comes with the text."""
    found = loaders.load(Path("a.pdf"), pdf_of(row_by_row(LEFT, RIGHT, xs=(60, 320)), lines("Page two.")))
    assert found.text == f"{COLUMNS}\n\nPage two." and found.pages == (0, len(COLUMNS) + 2)
    spans, _, sure = found.layout[1].words()
    assert [found.text[a:b] for a, b in spans] == ["Page", "two."] and np.isnan(sure).all()
    assert (found.layout[1].start, found.layout[1].end) == (len(COLUMNS) + 2, len(found.text))
