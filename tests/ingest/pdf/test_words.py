"""Characters become words: gaps, ligatures, right-to-left letters, turned text, and text that is of no use."""

import pytest
from pdf_files import both, lines, pdf_of, word, words_of_page
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from mmgen.ingest.pdf import words
from mmgen.ingest.pdf.words import plain, useless


def texts(data: bytes) -> list[str]:
    return [one.text for one in words_of_page(data).words]


def test_words_and_their_boxes() -> None:
    first, second = words_of_page(pdf_of(lines("Mill Lane"))).words
    assert (first.text, second.text) == ("Mill", "Lane")
    assert 71 < first.box[0] < first.box[2] < second.box[0] < 120, "points from the left"
    assert 70 < first.box[1] < 82 < first.box[3] < 90, "and from the top: it stands 82 points below the edge"


def test_letters_drawn_one_by_one_are_words() -> None:
    def spread(canvas: Canvas) -> None:
        for n, letter in enumerate("Tea and"):
            canvas.drawString(72 + 6 * n, 700, letter)

    assert texts(pdf_of(spread)) == ["Tea", "and"]


def test_what_is_drawn_twice_is_read_once() -> None:
    assert texts(pdf_of(both(lines("Bold"), lines("Bold", x=72.3)))) == ["Bold"]


def test_turned_text_has_a_frame_of_its_own() -> None:
    def draw(canvas: Canvas) -> None:
        for angle in (90, 180, 270, 45):
            canvas.saveState()
            canvas.translate(300, 400)
            canvas.rotate(angle)
            canvas.drawString(60, 0, "one two")
            canvas.restoreState()

    found = words_of_page(pdf_of(draw)).words
    assert sorted({one.angle for one in found}) == [90, 180, 270, 315]
    for angle in (90, 180, 270, 315):
        one, two = (item for item in found if item.angle == angle)
        assert one.x0 < two.x0 and abs(one.middle - two.middle) < 6, "it runs to the right there"


def test_a_row_of_dots_is_one_word() -> None:
    assert texts(pdf_of(lines("Tea . . . . . . . 4"))) == ["Tea", "...", "4"]


@pytest.mark.parametrize(("seen", "meant"), [("\ufb01nd o\ufb03ce", "find office"), ("\ufe8e", "\u0627"), ("a\0b", "a\ufffdb")])
def test_forms_of_letters(seen: str, meant: str) -> None:
    assert plain(seen) == meant


def test_hebrew_as_it_is_drawn_and_as_it_is_read(tmp_path: object) -> None:
    """Producers draw its letters from the left; they are read from the right."""
    font = TTFont("DejaVu", _dejavu())
    pdfmetrics.registerFont(font)

    def draw(canvas: Canvas) -> None:
        canvas.setFont("DejaVu", 12)
        canvas.drawString(72, 700, "םלוע םולש")

    assert sorted(texts(pdf_of(draw))) == sorted(["שלום", "עולם"])


def _dejavu() -> str:
    import matplotlib

    return f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"


def test_text_of_no_use() -> None:
    assert useless([word("\ue000\ue001\ue002", 0, 0)])
    assert useless([word(text, 0, 0) for text in ["7KHX", "PXVHXP", "NHHSV"] * 16])
    parts = [word(text, 0, 0) for text in ["A1B2C3", "X9Y8Z7", "pump", "seal"] * 16]
    assert not useless(parts), "part numbers with their names"
    assert not useless(
        [word(text, 0, 0) for text in ["The", "museum", "keeps", "a", "collection", "of", "1742", "B2B", "parts"] * 4]
    )


def test_a_page_of_too_many_letters_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "MOST_CHARACTERS", 4)
    page = words_of_page(pdf_of(lines("Mill Lane")))
    assert [one.text for one in page.words] == ["Mill"] and "of 9 characters" in page.told[0]


def test_words_beyond_the_page_are_told() -> None:
    page = words_of_page(pdf_of(both(lines("seen"), lines("unseen", x=900))))
    assert [one.text for one in page.words] == ["seen"] and page.told == ["1 words beyond its edges"]
