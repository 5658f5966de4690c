"""Quotes find their rectangles; stores without layouts have none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mmgen.interfaces import Document, PageBox, PageLayout, Passage
from mmgen.stores.page_layouts import places
from mmgen.stores.relational.documents import RelationalDocumentStore

TEXT = "The rent is 1,150 euros a month."


def layout(number: int, text: str, at: int, per_line: int = 3, sure: float = np.nan) -> PageLayout:
    """Words of 6 points a letter, so many in a line, lines of 12 points below one another."""
    spans, boxes, column = [], [], 0.0
    for n, word in enumerate(text.split()):
        begin = at + (text.index(word) if not spans else text.index(word, spans[-1][1] - at))
        column = 0.0 if n % per_line == 0 else column
        top = 12.0 * (n // per_line)
        spans.append((begin, begin + len(word)))
        boxes.append((column, top, column + 6 * len(word), top + 10))
        column += 6 * len(word) + 4
    return PageLayout.of(number, (100, 100), np.array(spans), np.array(boxes), np.full(len(spans), sure))


@pytest.fixture
def store(store_at: Callable[..., Any]) -> RelationalDocumentStore:
    return store_at(encoder="e", dimension=2)


def add(store: RelationalDocumentStore, text: str, pages: tuple[int, ...], *layouts: PageLayout) -> int:
    document = Document("a.pdf", text, "pdf", "hash", pages, layout=layouts)
    return store.add(document, [Passage(text, 0, len(text), 1)], np.ones((1, 2), np.float32))


def test_a_quote_has_a_rectangle_a_line_and_of_a_word_its_part() -> None:
    page = layout(1, TEXT, 0)
    assert places([page], 0, len(TEXT)) == (
        (PageBox(1, 0.0, 0.0, 62.0, 10.0), PageBox(1, 0.0, 12.0, 74.0, 22.0), PageBox(1, 0.0, 24.0, 36.0, 34.0)), None
    )  # fmt: skip
    at = TEXT.index("150")
    assert places([page], at, at + 3)[0] == (PageBox(1, 12.0, 12.0, 30.0, 22.0),)
    assert places([page], 3, 4) == ((), None), "a space stands nowhere"


def test_a_store_keeps_and_finds_them(store: RelationalDocumentStore) -> None:
    second = len(TEXT) + 1
    number = add(store, f"{TEXT} {TEXT}", (0, second), layout(1, TEXT, 0), layout(2, TEXT, second, sure=0.9))
    (hit,) = store.search("rent", method="bm25")
    assert hit.passage.breaks == (second,) and hit.passage.recognized == pytest.approx(0.9)
    assert (hit.passage.page_at(0), hit.passage.page_at(second + 5)) == (1, 2)
    boxes, sure = store.places(number, second + 4, second + 8)
    assert boxes == (PageBox(2, 22.0, 0.0, 46.0, 10.0),) and sure == pytest.approx(0.9)
    assert store.places(number, 4, 8) == ((PageBox(1, 22.0, 0.0, 46.0, 10.0),), None)
    store.add(Document("a.pdf", TEXT, "pdf", "new"), [], np.ones((0, 2), np.float32))
    assert store.places(number, 4, 8) == ((), None), "they go with their document"


def test_a_store_without_layouts(store: RelationalDocumentStore) -> None:
    number = add(store, TEXT, (0,))
    assert store.places(number, 4, 8) == ((), None)
    (hit,) = store.search("rent", method="bm25")
    assert hit.passage.recognized is None and hit.passage.breaks == ()
