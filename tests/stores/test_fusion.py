from collections.abc import Sequence

import numpy as np
import pytest

from mmgen.interfaces import Hit, Passage
from mmgen.stores.fusion import MMR, CrossEncoderReranker, hybrid, mmr, reciprocal_rank, scaled, weighted


def test_reciprocal_rank() -> None:
    scores = reciprocal_rank([["a", "b"], ["b", "c"]], k=10)
    assert scores == pytest.approx({"a": 1 / 11, "b": 1 / 12 + 1 / 11, "c": 1 / 12})


def test_scaled() -> None:
    assert scaled({"a": 2.0, "b": 6.0, "c": 4.0}) == {"a": 0.0, "b": 1.0, "c": 0.5}
    assert scaled({"a": 2.0, "b": 4.0}, 0.0) == {"a": 0.5, "b": 1.0}
    assert scaled({"a": 3.0}) == {"a": 1.0} and scaled({}) == {}


def test_weighted() -> None:
    assert weighted({"a": 1.0, "b": 0.5}, {"b": 1.0, "c": 0.2}, 0.25) == pytest.approx({"a": 0.25, "b": 0.875, "c": 0.15})


def test_hybrid() -> None:
    """The best candidate of each method counts full; no word in common is 0, a cosine of -1 is 0."""
    scores = hybrid({"a": 8.0, "b": 2.0}, {"a": 0.2, "b": 0.6, "c": -1.0}, 0.25)
    assert scores == pytest.approx({"a": 0.25 * 0.75 + 0.75, "b": 0.25 + 0.75 * 0.25, "c": 0.0})
    assert hybrid({}, {"a": 0.5}, 0.25) == {"a": 0.25} and hybrid({"a": 3.0}, {}, 0.25) == {"a": 0.75}


VECTORS = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)


def test_mmr_avoids_what_it_has() -> None:
    assert mmr([1.0, 0.9, 0.5], VECTORS, 3, diversity=0.5) == [0, 2, 1]
    assert mmr([1.0, 0.9, 0.5], VECTORS, 2, diversity=0.0) == [0, 1]


def test_the_reranker() -> None:
    class Store:
        def vectors(self, ids: list[int]) -> np.ndarray:
            return VECTORS[ids]

    hits = [Hit(n, 1, "u", Passage("x", 0, 1), score) for n, score in enumerate([1.0, 0.95, 0.6])]
    assert [hit.passage_id for hit in MMR(Store(), 0.5).rerank("q", hits, 2)] == [0, 2]  # type: ignore[arg-type]
    assert MMR(Store()).rerank("q", [], 2) == []  # type: ignore[arg-type]


def test_a_rerankers_share_leaves_the_rest_to_the_search() -> None:
    hits = [Hit(n, n, f"{n}.txt", Passage(f"text {n}", 0, 6), score) for n, score in enumerate((0.9, 0.8, 0.1))]

    def score(query: str, texts: Sequence[str]) -> np.ndarray:
        return np.array([0.2, 0.7, 1.0])

    def order(share: float) -> list[int]:
        return [hit.passage_id for hit in CrossEncoderReranker(score, share).rerank("?", hits, 3)]

    assert order(1.0) == [2, 1, 0] and order(0.0) == [0, 1, 2] and order(0.4) == [1, 0, 2]
