"""Answers as HTML: everything is shown, nothing of a document is rendered."""

from dataclasses import replace

import pytest

from apps import answer_html
from mmgen.interfaces import Hit, Passage
from mmgen.pipelines.rag.answer import Answer, Citation

HOSTILE = "The <img src=x onerror=alert(1)> light & <b>lens</b> were lit in 1823."
QUOTE = "<b>lens</b>"
START = 100 + HOSTILE.index(QUOTE)


def found(**changes: object) -> Answer:
    hit = Hit(7, 1, "/somewhere/a<i>.md", Passage(HOSTILE, 100, 100 + len(HOSTILE), heading="<u>Top</u>"), 1.0)
    citation = Citation(hit.uri, 1, 7, START, START + len(QUOTE), QUOTE, heading="<u>Top</u>")
    timings = {"load": 5.0, "total": 25.0}
    return replace(Answer("What is <it>?", QUOTE, [citation], 0.82, False, "strict", [hit], timings), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{}, {"abstained": True}, {"citations": []}])
def test_nothing_is_rendered(changes: dict[str, object]) -> None:
    page = answer_html.answer(found(**changes))
    for tag in ("<img", "<b>", "<i>", "<u>", "<it>"):
        assert tag not in page


def test_a_quote_is_marked_in_its_passage() -> None:
    page = answer_html.answer(found())
    assert "light &amp; <mark>&lt;b&gt;lens&lt;/b&gt;</mark> were lit in 1823." in page
    assert "82%" in page and "20 ms" in page


def test_an_abstention_looks_different() -> None:
    page = answer_html.answer(found(abstained=True, text="Not in the documents."))
    assert "class='turn absent'" in page and "<mark>" not in page
    assert "Searched in a&lt;i&gt;.md." in page


def test_a_guess_stands_behind_a_click() -> None:
    answer = found(abstained=True, text="Not in the documents.", confidence=0.12)
    page = answer_html.answer(replace(answer, citations=[], guess=answer.citations[0]))
    assert "No answer is sure enough" in page and "Show the best guess <small>confidence" in page and "12%" in page
    assert "<mark>&lt;b&gt;lens&lt;/b&gt;</mark>" in page


def test_headings_of_markdown_have_no_signs() -> None:
    text = "## The <lens>\n\nIt is big."
    hit = Hit(7, 1, "a.md", Passage(text, 0, len(text)), 1.0)
    page = answer_html.answer(found(passages=[hit], citations=[Citation("a.md", 1, 7, 17, 23, "It is big")]))
    assert "<strong>The &lt;lens&gt;</strong>" in page and "##" not in page


def test_one_is_singular() -> None:
    assert [answer_html.counted(number, "image") for number in (0, 1, 2000)] == ["0 images", "1 image", "2,000 images"]


def test_free_text_says_that_it_has_no_source() -> None:
    assert "no source supports" in answer_html.answer(found(citations=[]))


def test_an_empty_conversation_teaches() -> None:
    assert answer_html.transcript([]) == answer_html.EMPTY
    assert answer_html.documents([]) == answer_html.NO_DOCUMENTS


def test_messages_are_escaped() -> None:
    assert "<x>" not in answer_html.pending("<x>", "<x>") + answer_html.failed("<x>", "<x>")
