"""Citations name the page of the quote, not that of the passage, and where on it the quote stands."""

from types import SimpleNamespace
from typing import Any

import pytest

from mmgen.interfaces import Hit, PageBox, Passage
from mmgen.pipelines.rag.answer import Answer, cited, located

TEXT = "The mill burned down. It was built again by Greta Holm."
HIT = Hit(1, 7, "lease.pdf", Passage(TEXT, 100, 100 + len(TEXT), 3, breaks=(122, 140)), 1.0)


@pytest.mark.parametrize(("quote", "page"), [("mill", 3), ("It was", 4), ("Greta Holm", 5)])
def test_a_passage_over_several_pages(quote: str, page: int) -> None:
    at = TEXT.index(quote)
    citation = cited(HIT, at, at + len(quote))
    assert (citation.quote, citation.page) == (quote, page)


def test_a_quote_has_its_place_where_the_store_knows_it() -> None:
    citation = cited(HIT, 4, 8)
    answer = Answer("?", "mill", [citation], 0.9, False, "strict", [HIT], {})
    asked: list[Any] = []

    def places(*span: int) -> tuple[tuple[PageBox, ...], float]:
        asked.append(span)
        return (PageBox(3, 1.0, 2.0, 3.0, 4.0),), 0.875

    (found,) = located(answer, SimpleNamespace(places=places)).citations
    assert asked == [(7, 104, 108)] and found.boxes == (PageBox(3, 1.0, 2.0, 3.0, 4.0),)
    assert str(found) == "lease.pdf, page 3 [104:108], recognised (88% sure)"
    assert located(answer, object()) is answer, "another kind of store"
