"""Exact search against brute force."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmgen.models.reader.span_search import Span, best_spans


def brute_force(starts: Tensor, prices: Tensor, most: int) -> list[Span]:
    spans = [
        Span(float(starts[r, s] + prices[r, s, n]), r, s, s + n)
        for r, s, n in itertools.product(*map(range, prices.shape))
        if math.isfinite(starts[r, s]) and math.isfinite(prices[r, s, n])
    ]
    return sorted(spans, reverse=True)[:most]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), most=st.integers(1, 5), at_once=st.integers(1, 5))
def test_search_is_exact(seed: int, most: int, at_once: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randn(3, 9, generator=generator).mul(3).log_softmax(-1)
    starts[torch.rand(3, 9, generator=generator) < 0.2] = float("-inf")
    prices = torch.randn(3, 9, 4, generator=generator).log_softmax(-1)
    prices[torch.rand(3, 9, 4, generator=generator) < 0.2] = float("-inf")
    found = best_spans(starts, lambda pairs: torch.stack([prices[p] for p in pairs]), most, at_once)
    expected = brute_force(starts, prices, most)
    assert [(s.row, s.first, s.last) for s in found] == [(s.row, s.first, s.last) for s in expected]
    assert [s.log_probability for s in found] == pytest.approx([s.log_probability for s in expected])


def test_search_opens_few_starts() -> None:
    """One start is far likelier than the rest: the others are bounded away."""
    starts = torch.full((1, 200), -12.0)
    starts[0, 40] = -0.1
    opened: list[tuple[int, int]] = []

    def extend(pairs: list[tuple[int, int]]) -> Tensor:
        opened.extend(pairs)
        return torch.tensor([[0.5, 0.5]]).log().expand(len(pairs), 2)

    assert best_spans(starts, extend, at_once=2)[0].first == 40
    assert len(opened) == 2


def test_nothing_to_start() -> None:
    assert best_spans(torch.full((2, 5), float("-inf")), lambda pairs: pytest.fail("opened"), 3) == []
