"""Data that travels between rooms: what is packed comes out as it went in."""

import numpy as np

from mmgen.interfaces import PageLayout


def test_a_layout_holds_its_words() -> None:
    """Offsets as they are, boxes to a tenth of a point, confidences to a hundredth; a header's words may come again."""
    spans = np.array([[70_000, 70_004], [70_005, 70_009], [70_012, 70_020]])
    boxes = np.array([[72.04, 70.0, 90.26, 82.5], [95.0, 70.0, 120.0, 82.5], [72.04, 70.0, 90.26, 82.5]])
    page = PageLayout.of(3, (595.0, 842.0), spans, boxes, np.array([0.91, np.nan, 0.5]))
    assert (page.number, page.start, page.end, page.width) == (3, 70_000, 70_020, 595.0)
    assert page.recognized == round((4 * 0.91 + 8 * 0.5) / 12, 3), "the mean by letters"
    found, where, sure = page.words()
    assert (found == spans).all() and np.allclose(where, boxes, atol=0.051)
    assert np.allclose(sure, [0.91, np.nan, 0.5], equal_nan=True)


def test_a_page_without_words() -> None:
    page = PageLayout.of(1, (10.0, 10.0), np.empty((0, 2)), np.empty((0, 4)), np.empty(0))
    assert (page.start, page.end, page.recognized) == (0, 0, None) and [len(part) for part in page.words()] == [0, 0, 0]


def test_a_page_of_words_is_small() -> None:
    random = np.random.default_rng(0)
    starts = np.cumsum(random.integers(2, 9, 400))
    x, y = np.arange(400) % 12 * 40 + random.normal(size=400), np.arange(400) // 12 * 14.0
    page = PageLayout.of(
        1, (595, 842), np.stack([starts, starts + 1], 1), np.stack([x, y, x + 30, y + 12], 1), np.full(400, np.nan)
    )
    assert len(page.packed) < 2_500, "bytes: less than the page's text"
