"""Answers that are spans of the passages: an exact search, and a constraint for any causal model. Knows token ids only.

`best_spans` finds the most probable spans under a model that prices every span's start and ends, without pricing every span:
the log-probability of a start bounds that of all spans that begin there, so starts are opened best first until no closed one
can win (the exact-extract idea of Castel et al. 2021, arXiv 2108.05857, as a best-first search over all passages at once).
`CopyConstraint` gives the same guarantee to a sampler: each next token must go on copying somewhere.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, order=True)
class Span:
    """Tokens `first` to `last`, both included, of row `row`."""

    log_probability: float
    row: int
    first: int
    last: int


Extend = Callable[[list[tuple[int, int]]], Tensor]
"""(row, start) pairs -> (pairs, L): log P(the span of 1..L tokens | its start), -inf where there is none."""


def best_spans(starts: Tensor, extend: Extend, most: int = 1, at_once: int = 8) -> list[Span]:
    """The `most` most probable spans over all rows, best first; exact.

    Args:
        starts: (B, S) log P(start), -inf where no span may start.
        extend: prices the spans that begin at given starts; called with at most `at_once` pairs.
        most: how many spans to find.
    """
    order = starts.flatten().argsort(descending=True).tolist()
    bounds = starts.flatten()[order].tolist()
    found: list[Span] = []  # a heap, worst on top
    at = 0
    while at < len(order) and bounds[at] > float("-inf"):
        worst = found[0].log_probability if len(found) == most else float("-inf")
        pairs = [divmod(order[i], starts.shape[1]) for i in range(at, min(at + at_once, len(order))) if bounds[i] > worst]
        if not pairs:
            break
        for (row, first), start, prices in zip(pairs, bounds[at:], extend(pairs), strict=False):
            for length, price in enumerate(prices.tolist()):
                span = Span(start + price, row, first, first + length)
                if price == float("-inf"):
                    continue
                if len(found) < most:
                    heapq.heappush(found, span)
                elif span > found[0]:
                    heapq.heapreplace(found, span)
        at += len(pairs)
    return sorted(found, reverse=True)


class CopyConstraint:
    """Which token may come next so that the answer stays a span of a passage (or several, one after another).

    A place is (passage, token): where the copy stands. Several places stay open while the text written so far stands in several
    passages. It fits transformers' `LogitsProcessor` protocol by `process`.
    """

    def __init__(self, passages: Sequence[Sequence[int]], end: int, separator: int | None = None) -> None:
        self.passages, self.end, self.separator = [list(p) for p in passages], end, separator

    def places(self, written: Sequence[int]) -> list[tuple[int, int]]:
        """Where the last span could stand: (passage, index of its next token). Empty if nothing was written in it yet."""
        span: list[int] = []
        for token in written:
            span = [] if token == self.separator else [*span, token]
        if not span:
            return []
        n = len(span)
        return [
            (number, at + n)
            for number, passage in enumerate(self.passages)
            for at in range(len(passage) - n + 1)
            if passage[at : at + n] == span
        ]

    def allowed(self, written: Sequence[int]) -> set[int]:
        """Token ids that may come next; only the end token once the end was written."""
        if self.end in written:
            return {self.end}
        if not written or written[-1] == self.separator:
            return {token for passage in self.passages for token in passage}
        closing = {self.end} if self.separator is None else {self.end, self.separator}
        places = self.places(written)
        return closing | {self.passages[p][at] for p, at in places if at < len(self.passages[p])}

    def process(self, written: Sequence[int], logits: Tensor) -> Tensor:
        """Logits (V,) with -inf for every token that would leave the passages."""
        keep = torch.tensor(sorted(self.allowed(written)), device=logits.device)
        out = torch.full_like(logits, float("-inf"))
        out[keep] = logits[keep]
        return out
