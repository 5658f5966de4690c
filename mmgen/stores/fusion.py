"""Combines several rankings into one, and orders hits anew: fusion, MMR, cross-encoders."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from mmgen.interfaces import Hit

if TYPE_CHECKING:
    from collections.abc import Callable

Key = TypeVar("Key", bound=Hashable)

DENSE_WEIGHT = 0.7
# The best mean nDCG@10 of `benchmarks/retrieval.py --tune` over SciFact's training queries and the questions of SQuADShifts
# (Wikipedia, Amazon, Reddit) and Natural Questions; from 0.6 to 0.8 it changes by less than 0.004.


def hybrid(bm25: Mapping[Key, float], cosines: Mapping[Key, float], weight: float = DENSE_WEIGHT) -> dict[Key, float]:
    """Both methods' scores as one, each scaled from the least that there can be to its best candidate."""
    return weighted(scaled(cosines, -1.0), scaled(bm25, 0.0), weight)


def reciprocal_rank(rankings: Sequence[Sequence[Key]], k: float = 20.0) -> dict[Key, float]:
    """Sum of 1 / (k + rank) over the rankings, ranks from 1 (Cormack, Clarke and Buettcher 2009)."""
    scores: dict[Key, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking, 1):
            scores[key] = scores.get(key, 0.0) + 1.0 / (k + rank)
    return scores


def scaled(scores: Mapping[Key, float], least: float | None = None) -> dict[Key, float]:
    """Scores from 0 to 1. `least`: the smallest that there can be, or None for the smallest that there is."""
    if not scores:
        return {}
    low = min(scores.values()) if least is None else least
    high = max(scores.values())
    return {key: (score - low) / (high - low) if high > low else 1.0 for key, score in scores.items()}


def weighted(one: Mapping[Key, float], other: Mapping[Key, float], weight: float) -> dict[Key, float]:
    """`weight * one + (1 - weight) * other` of scaled scores; what a side lacks counts 0 there.

    The convex combination of Bruch, Gai and Ingber 2023 (arXiv 2210.11934).
    """
    return {key: weight * one.get(key, 0.0) + (1 - weight) * other.get(key, 0.0) for key in dict.fromkeys([*one, *other])}


def mmr(relevance: Sequence[float], vectors: np.ndarray, k: int, diversity: float = 0.3) -> list[int]:
    """Maximal marginal relevance (Carbonell and Goldstein 1998): indices of `k` items, each relevant and unlike those before.

    Args:
        relevance: of each item, higher is better; scaled to 0..1 within.
        vectors: (N, D), unit length.
        diversity: 0 keeps the order of relevance, 1 only avoids likeness.
    """
    worth = np.array(list(scaled(dict(enumerate(relevance))).values()), dtype=np.float32)
    likeness = np.zeros(len(worth), dtype=np.float32)
    left, chosen = list(range(len(worth))), list[int]()
    while left and len(chosen) < k:
        scores = (1 - diversity) * worth[left] - diversity * likeness[left]
        best = left.pop(int(scores.argmax()))
        chosen.append(best)
        likeness = np.maximum(likeness, vectors @ vectors[best])
    return chosen


class CrossEncoderReranker:
    """Orders hits by what a cross-encoder makes of the query and each passage, read together."""

    def __init__(self, score: Callable[[str, Sequence[str]], np.ndarray], share: float = 1.0) -> None:
        """`score`: a query and texts -> (N,), higher is more relevant. `share`: how much of the order is its, 0 to 1, where
        scores are from 0 to 1; the rest is that of the search."""
        self.score, self.share = score, share

    def rerank(self, query: str, hits: Sequence[Hit], k: int) -> list[Hit]:
        scores = self.score(query, [hit.passage.text for hit in hits]).tolist()
        if self.share < 1.0:
            found = scaled({n: hit.score for n, hit in enumerate(hits)}, 0.0)
            both = weighted(dict(enumerate(scores)), found, self.share)
            scores = [both[n] for n in range(len(hits))]
        best = sorted(range(len(hits)), key=lambda n: -scores[n])[:k]
        return [replace(hits[n], score=scores[n], scores={**hits[n].scores, "rerank": scores[n]}) for n in best]


class HasVectors(Protocol):
    vectors: Callable[[Sequence[int]], np.ndarray]


class MMR:
    """The registry's reranker "mmr": hits that do not repeat each other."""

    def __init__(self, store: HasVectors, diversity: float = 0.3) -> None:
        self.store, self.diversity = store, diversity

    def rerank(self, query: str, hits: Sequence[Hit], k: int) -> list[Hit]:
        if not hits:
            return []
        vectors = self.store.vectors([hit.passage_id for hit in hits])
        order = mmr([hit.score for hit in hits], vectors, k, self.diversity)
        return [replace(hits[i], scores={**hits[i].scores, "mmr": float(rank)}) for rank, i in enumerate(order)]
