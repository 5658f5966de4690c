"""Guesses: copies of what stood before, and an acceptance rule under which the distribution stays the model's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.models.lm.sampling import Candidates, pick
from mmgen.models.lm.speculative import LONGEST, SHORTEST, PromptLookup, accept

CRITICAL = 30.1  # of chi-square with 9 degrees of freedom at p = 0.0004


def naive(ids: list[int], most: int) -> list[int]:
    """Search from behind for the longest repeated end."""
    for size in range(min(LONGEST, len(ids) - 1), SHORTEST - 1, -1):
        for end in range(len(ids) - 1, size - 1, -1):
            if ids[end - size : end] == ids[-size:]:
                return ids[end : end + most]
    return []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 6), st.data())
def test_lookup_finds_what_a_search_finds(ids: list[int], most: int, data: st.DataObject) -> None:
    lookup = PromptLookup(most)
    for end in sorted(data.draw(st.sets(st.integers(1, len(ids)), max_size=5))):
        lookup.reach = most
        assert lookup.propose(ids[:end]) == naive(ids[:end], most)


def test_the_reach_follows_the_luck() -> None:
    lookup = PromptLookup(16)
    lookup.learn(4, 4)
    lookup.learn(8, 8)
    assert lookup.reach == 16
    lookup.learn(16, 1)
    assert lookup.reach == 2
    lookup.learn(2, 0)
    assert lookup.reach == 1


def test_it_rests_longer_after_every_guess_that_was_all_wrong() -> None:
    lookup, ids, silent = PromptLookup(4), [1, 2, 3, 1, 2], []
    for _ in range(4):
        assert lookup.propose(ids)
        lookup.learn(1, 0)
        silent.append(next(n for n in range(20) if lookup.propose(ids)))
    assert silent == [1, 3, 7, 7]
    lookup.learn(1, 1)
    assert lookup.propose(ids)


@pytest.mark.parametrize("seed", range(3))
def test_accepted_or_replaced_tokens_are_distributed_as_the_model_draws(seed: int) -> None:
    """Chi-square over ten tokens; without the rule (the draft's own distribution) the statistic is in the thousands."""
    generator = torch.Generator().manual_seed(seed)
    p, q = torch.randn(2, 10, generator=generator).mul(1.5).softmax(-1)
    n = 20_000
    drafts = pick(Candidates(q.expand(n, -1), None), torch.rand(n, generator=generator, dtype=torch.float64).tolist())
    uniforms = torch.rand(n, generator=generator, dtype=torch.float64).tolist()
    tokens = [accept(draft, p, q, u) for draft, u in zip(drafts, uniforms, strict=True)]

    def chi_square(found: list[int]) -> float:
        counts = torch.bincount(torch.tensor(found), minlength=10)
        return float(((counts - n * p) ** 2 / (n * p)).sum())

    assert chi_square(tokens) < CRITICAL
    assert chi_square(drafts) > 1000
    kept = sum(a == b for a, b in zip(tokens, drafts, strict=True)) / n
    assert kept == pytest.approx(float(torch.minimum(p, q).sum()), abs=0.015)  # eq. 8: as often as can be


def test_a_draft_that_is_the_model_is_always_accepted() -> None:
    p = torch.tensor([0.2, 0.3, 0.5])
    assert all(accept(token, p, p, u) == token for token in range(3) for u in (0.0, 0.5, 0.999999))
