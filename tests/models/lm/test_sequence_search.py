"""Beam search against an exhaustive twin, contrastive search against its formula. Parity with transformers: test_text.py."""

import itertools

import pytest
import torch

from mmgen.errors import BadRequest
from mmgen.models.lm.sequence_search import BeamSearch, Contrastive, EarlyStopping

V, END = 5, 0


def chain(seed: int) -> torch.Tensor:
    """A model: log-probabilities of the next token after each, (V + 1, V); the last row is for the beginning."""
    return torch.randn(V + 1, V, generator=torch.Generator().manual_seed(seed)).mul(2).log_softmax(-1)


def search(model: torch.Tensor, **options: object) -> BeamSearch:
    beams = BeamSearch(ends={END}, **options)  # type: ignore[arg-type]
    while not beams.done:
        rows = [ids[-1] if ids else V for ids in beams.live]
        children = beams.step(model[rows])
        assert bool(children) != beams.done
    return beams


def every(model: torch.Tensor, most: int, penalty: float) -> list[tuple[float, tuple[int, ...]]]:
    """All texts up to `most` tokens with their scores, best first."""
    found = []
    for size in range(1, most + 1):
        for ids in itertools.product(range(V), repeat=size):
            if END in ids[:-1] or (ids[-1] != END and size < most):
                continue
            logprob = sum(float(model[before, token]) for before, token in zip((V, *ids), ids, strict=False))
            found.append((logprob / size**penalty, ids))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_beam_wide_enough_finds_the_best_texts(seed: int, penalty: float) -> None:
    model = chain(seed)
    found = search(model, beams=V**3, most=4, length_penalty=penalty, early_stopping="never").finished
    wanted = every(model, 4, penalty)[:10]
    assert [one.ids for one in found[:10]] == [ids for _, ids in wanted]
    assert [one.score for one in found[:10]] == pytest.approx([score for score, _ in wanted], abs=1e-5)


def test_one_beam_is_greedy() -> None:
    model = chain(7)
    ids, last = [], V
    while last != END and len(ids) < 6:
        last = int(model[last].argmax())
        ids.append(last)
    assert search(model, beams=1, most=6).finished[0].ids == tuple(ids)


@pytest.mark.parametrize("early", [True, False, "never"])
def test_it_ends_with_as_many_texts_as_beams(early: EarlyStopping) -> None:
    found = search(chain(1), beams=3, most=30, early_stopping=early).finished
    assert len(found) == 3
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_an_empty_vocabulary_is_told() -> None:
    with pytest.raises(BadRequest, match="no text can go on under the constraint"):
        BeamSearch(2, 5, {END}).step(torch.full((1, V), float("-inf")))


def test_contrastive_weighs_likelihood_against_repetition() -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))
    search = Contrastive(alpha=0.6, k=3)
    assert search.propose(logits) == [0, 1, 2]
    before = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    states = torch.tensor([[3.0, 0.0], [1.0, 1.0], [-1.0, -1.0]])  # a repetition, half of one, none
    scores = [0.4 * 0.5 - 0.6, 0.4 * 0.3 - 0.6 * 0.5**0.5, 0.4 * 0.15 + 0.6 * 0.5**0.5]
    assert search.choose(states, before) == scores.index(max(scores)) == 2
    greedy = Contrastive(alpha=0.0, k=3)
    greedy.propose(logits)
    assert greedy.choose(states, before) == 0
