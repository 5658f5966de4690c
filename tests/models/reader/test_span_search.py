"""Exact search against brute force; the copy constraint under a real causal model."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmgen.models.reader.span_search import CopyConstraint, Span, best_spans


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


PASSAGES = [[5, 6, 7, 8, 6, 9], [6, 7, 3]]
END, SEPARATOR = 1, 2


def test_constraint_follows_all_places() -> None:
    constraint = CopyConstraint(PASSAGES, END)
    assert constraint.allowed([]) == {3, 5, 6, 7, 8, 9}
    assert constraint.allowed([6]) == {END, 7, 9}
    assert constraint.allowed([6, 7]) == {END, 8, 3}
    assert constraint.allowed([6, 7, 3]) == {END}
    assert constraint.allowed([6, END]) == {END}


def test_several_spans() -> None:
    constraint = CopyConstraint(PASSAGES, END, SEPARATOR)
    assert constraint.allowed([6, 9]) == {END, SEPARATOR}
    assert constraint.allowed([6, 9, SEPARATOR]) == {3, 5, 6, 7, 8, 9}


def test_a_causal_model_can_only_quote() -> None:
    """GPT-2 of random weights, sampling hot, through transformers' own LogitsProcessor: every answer stands in a passage."""
    from transformers import GPT2Config, GPT2LMHeadModel, LogitsProcessor, LogitsProcessorList

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=32, n_positions=64, n_embd=16, n_layer=1, n_head=2)).eval()
    passages = [list(range(3, 20)), [9, 4, 17, 30, 4, 9]]
    constraint = CopyConstraint(passages, end=1)

    class Copy(LogitsProcessor):  # type: ignore[misc]
        def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
            return torch.stack([
                constraint.process(row[2:].tolist(), line) for row, line in zip(input_ids, scores, strict=True)
            ])  # fmt: skip

    prompt = torch.tensor([[31, 30]] * 16)
    out = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), do_sample=True, max_new_tokens=12, eos_token_id=1, pad_token_id=1,
        logits_processor=LogitsProcessorList([Copy()]),
    )  # fmt: skip
    answers = [[t for t in row if t != 1] for row in out[:, 2:].tolist()]
    assert len({tuple(a) for a in answers}) > 5
    for answer in answers:
        assert any(answer == p[i : i + len(answer)] for p in passages for i in range(len(p)))
