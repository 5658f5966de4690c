"""Exact search for the most probable spans of passages.

A span's log-probability is that of its start plus that of its length given the start. So a start's log-probability is an upper
bound for all spans that begin there: `best_spans` expands starts by falling bound, until no bound is above the worst span that
it keeps. This is exact-extract (Castel et al. 2021, arXiv 2108.05857) as a best-first search over several passages at once;
most spans are never scored.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, order=True)
class Span:
    """Tokens `first` to `last`, both included, of row `row`. Ordered by log-probability."""

    log_probability: float
    row: int
    first: int
    last: int


Expand = Callable[[list[tuple[int, int]]], Tensor]
"""P pairs (row, start) -> (P, L): log P(length | start) of lengths 1 to L, -inf where no span can end."""


def best_spans(starts: Tensor, expand: Expand, most: int = 1, at_once: int = 8) -> list[Span]:
    """The `most` most probable spans over all rows, best first; exact.

    Args:
        starts: (B, S) log P(start), -inf where no span may start.
        expand: scores all spans from the given starts; called with at most `at_once` pairs.
        most: how many spans to find.
    """
    order = starts.flatten().argsort(descending=True).tolist()
    bounds = starts.flatten()[order].tolist()
    found: list[Span] = []  # a min-heap: the worst span is found[0]
    at = 0
    while at < len(order) and bounds[at] > float("-inf"):
        worst = found[0].log_probability if len(found) == most else float("-inf")
        pairs = [divmod(order[i], starts.shape[1]) for i in range(at, min(at + at_once, len(order))) if bounds[i] > worst]
        if not pairs:
            break
        for (row, first), start, lengths in zip(pairs, bounds[at:], expand(pairs), strict=False):
            for more, log_probability in enumerate(lengths.tolist()):
                span = Span(start + log_probability, row, first, first + more)
                if log_probability == float("-inf"):
                    continue
                if len(found) < most:
                    heapq.heappush(found, span)
                elif span > found[0]:
                    heapq.heapreplace(found, span)
        at += len(pairs)
    return sorted(found, reverse=True)
