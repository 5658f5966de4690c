"""Words become one text: what stands between them, and where each one is."""

import math

import pytest

from mmgen.ingest.pdf.document import Frame
from mmgen.ingest.pdf.flow import BREAK, COLUMN, NOTHING, PARAGRAPH, SPACE, FlowWord
from mmgen.ingest.pdf.pages_text import PagesText
from mmgen.ingest.pdf.words import PageWords

FRAME = Frame(100, 100, 0, 0, 100, 100, 0)


def text_of(*pages: list[tuple[str, str]]) -> tuple[str, tuple[int, ...], list[list[str]]]:
    made = PagesText()
    for number, words in enumerate(pages, 1):
        made.take(PageWords(number, FRAME), [FlowWord(before, text, (0, 0, 1, 1), math.nan) for before, text in words])
    text, starts, layouts = made.written()
    return text, starts, [[text[a:b] for a, b in layout.words()[0]] for layout in layouts]


@pytest.mark.parametrize(
    ("before", "first", "second", "text"),
    [
        (SPACE, "a", "b", "a b"),
        (PARAGRAPH, "a", "b", "a\n\nb"),
        (BREAK, "museum", "keeps", "museum keeps"),
        (BREAK, "collec-", "tion", "collection"),
        (BREAK, "文章で", "す。", "文章です。"),
        (COLUMN, "goes", "on", "goes on"),
        (COLUMN, "ends.", "then", "ends.\n\nthen"),
        (COLUMN, "goes", "Then", "goes\n\nThen"),
    ],
)
def test_between_two_words(before: str, first: str, second: str, text: str) -> None:
    assert text_of([(NOTHING, first), (before, second)])[0] == text


def test_a_word_may_be_broken_between_pages() -> None:
    text, starts, words = text_of([(NOTHING, "a"), (SPACE, "collec-")], [], [(NOTHING, "tion"), (SPACE, "of")])
    assert text == "a collection of" and starts == (0, 8, 8)
    assert words == [["a", "collec"], [], ["tion", "of"]]


def test_no_pages() -> None:
    assert text_of() == ("", (), [])
