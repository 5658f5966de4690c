"""Exact search for the most probable spans of passages.

`best_spans` finds the most probable spans under a model that prices every span's start and ends, without pricing every span:
the log-probability of a start bounds that of all spans that begin there, so starts are opened best first until no closed one
can win (the exact-extract idea of Castel et al. 2021, arXiv 2108.05857, as a best-first search over all passages at once).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

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
