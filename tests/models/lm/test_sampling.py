"""The filters are transformers' own, alone and in a batch; one uniform number is one token."""

import math
import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.errors import BadRequest
from mmgen.models.lm.sampling import Candidates, UniformStream, adjusted, candidates, choice, draw, pick
from mmgen.text_params import Sampling

SETTINGS = [
    Sampling(),
    Sampling(temperature=0.7),
    Sampling(top_k=5),
    Sampling(top_k=5000),
    Sampling(top_p=0.3, temperature=0.3),
    Sampling(top_p=0.999),
    Sampling(top_p=1e-6),
    Sampling(min_p=0.2),
    Sampling(min_p=0.01, temperature=1.7),
    Sampling(min_p=1.0),
    Sampling(typical_p=0.4),
    Sampling(typical_p=0.9, min_p=0.1),
    Sampling(temperature=0.8, top_k=40, top_p=0.9, min_p=0.02, typical_p=0.95),
]


def logits(rows: int = 3, size: int = 1500, spread: float = 3.0) -> torch.Tensor:
    return spread * torch.randn(rows, size, generator=torch.Generator().manual_seed(rows + size))


def theirs(sampling: Sampling, scores: torch.Tensor) -> torch.Tensor:
    """What transformers' generate would draw from, (B, V)."""
    from transformers.generation import logits_process as them

    chain: list[Any] = [them.TemperatureLogitsWarper(sampling.temperature)]
    if sampling.top_k:
        chain.append(them.TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        chain.append(them.TopPLogitsWarper(sampling.top_p))
    if sampling.min_p:
        chain.append(them.MinPLogitsWarper(sampling.min_p))
    if sampling.typical_p < 1:
        chain.append(them.TypicalLogitsWarper(sampling.typical_p))
    for warper in chain:
        scores = warper(None, scores)
    return scores.softmax(-1)


@pytest.mark.parametrize("sampling", SETTINGS, ids=str)
@pytest.mark.parametrize("spread", [0.1, 3.0])
def test_filters_are_those_of_transformers(sampling: Sampling, spread: float) -> None:
    scores = logits(spread=spread)
    ours = candidates(scores, sampling).over(scores.shape[1])
    torch.testing.assert_close(ours, theirs(sampling, scores), rtol=2e-4, atol=1e-8)


@pytest.mark.parametrize("sampling", SETTINGS, ids=str)
def test_a_row_is_the_same_alone_and_in_a_batch(sampling: Sampling) -> None:
    scores = torch.cat([logits(2), logits(2, spread=0.05)])  # narrow and wide, so that one alone needs no full sort
    uniforms = [0.1, 0.5, 0.9, 0.999]
    together = pick(candidates(scores, sampling), uniforms)
    assert together == [pick(candidates(row[None], sampling), [u])[0] for row, u in zip(scores, uniforms, strict=True)]


def test_the_repetition_penalty_is_that_of_transformers() -> None:
    from transformers.generation.logits_process import RepetitionPenaltyLogitsProcessor

    scores, prompt, written = logits(1), [3, 4, 4, 7], [9, 3]
    wanted = RepetitionPenaltyLogitsProcessor(1.3)(torch.tensor([prompt + written]), scores)
    assert torch.equal(adjusted(scores[0], Sampling(repetition_penalty=1.3), prompt, written), wanted[0])


def test_presence_and_frequency_count_the_answer_alone() -> None:
    scores = torch.zeros(6)
    out = adjusted(scores, Sampling(presence_penalty=1, frequency_penalty=0.5), [0, 1], [1, 2, 2])
    assert out.tolist() == [0, -1.5, -2, 0, 0, 0]
    assert scores.eq(0).all()


def test_bias_comes_before_the_penalty() -> None:
    out = adjusted(torch.tensor([1.0, 1.0]), Sampling(logit_bias={0: 3.0}, repetition_penalty=2), [0], [])
    assert out.tolist() == [2.0, 1.0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6).filter(any), st.floats(0, 1, exclude_max=True))
def test_pick_inverts_the_cumulative_distribution(weights: list[float], u: float) -> None:
    p = torch.tensor([weights], dtype=torch.float64)
    p /= p.sum()
    (token,) = pick(Candidates(p, None), [u])
    below = float(p[0, :token].sum())
    assert p[0, token] > 0
    assert below <= u + 1e-9 and u < below + float(p[0, token]) + 1e-9


def test_the_last_uniform_number_never_takes_a_filtered_token() -> None:
    p = torch.tensor([[0.3, 0.7, 0.0]])
    assert pick(Candidates(p, torch.tensor([[8, 5, 2]])), [math.nextafter(1, 0)]) == [5]


def test_a_tiny_temperature_is_the_likeliest_token() -> None:
    scores = logits(2)
    assert pick(candidates(scores, Sampling(temperature=1e-30)), [0.9, 0.1]) == scores.argmax(-1).tolist()
    with torch.inference_mode():
        assert draw(scores, Sampling(temperature=1e-30), [0.9, 0.1]) == scores.argmax(-1).tolist()


@pytest.mark.parametrize("sampling", SETTINGS, ids=str)
@pytest.mark.parametrize("spread", [0.05, 3.0])
def test_the_kernel_draws_what_torch_draws(sampling: Sampling, spread: float) -> None:
    scores, uniforms = logits(1, 1501, spread), [number / 97 for number in range(97)]
    scores[0, 3:900:3] = float("-inf")
    found = candidates(scores, sampling).over(1501)[0].double()
    order = found.argsort(descending=True, stable=True) if candidates(scores, sampling).ids is not None else torch.arange(1501)
    ends = found[order].cumsum(0)
    with torch.inference_mode():
        drawn = draw(scores.expand(97, -1), sampling, uniforms)
        assert drawn[40] == draw(scores, sampling, uniforms[40:41])[0]  # a row alone
    for token, uniform in zip(drawn, uniforms, strict=True):
        place = int((order == token).nonzero())
        assert found[token] > 0 and ends[place] - found[token] - 1e-5 <= uniform <= ends[place] + 1e-5


def test_uniform_numbers_are_seen_before_they_are_taken() -> None:
    stream, plain = UniformStream(5), random.Random(5)
    expected = [plain.random() for _ in range(6)]
    assert stream.ahead(3) == expected[:3] and stream.take() == expected[:1] and stream.ahead(2) == expected[1:3]
    assert stream.take(5) == expected[1:]


def test_choice_tells_the_models_own_log_probabilities() -> None:
    scores = logits(1)[0]
    told = choice(scores, 3, 2)
    wanted = scores.log_softmax(-1)
    assert told.logprob == pytest.approx(float(wanted[3]))
    assert [token for token, _ in told.top] == wanted.topk(2).indices.tolist()
    assert choice(scores, 3, 0).top == ()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"temperature": -1.0}, "temperature is -1.0; it can be 0"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"top_k": -1}, "top_k is -1; it can be 1 or more"),
        ({"top_p": 0.0}, "top_p is 0.0; it can be above 0 to 1"),
        ({"top_p": math.nan}, "top_p is nan"),
        ({"min_p": 1.5}, "min_p is 1.5"),
        ({"typical_p": 0}, "typical_p is 0"),
        ({"repetition_penalty": 0}, "repetition_penalty is 0; it can be above 0"),
        ({"presence_penalty": 3}, "presence_penalty is 3; it can be -2 to 2"),
        ({"frequency_penalty": math.nan}, "frequency_penalty is nan"),
        ({"temperature": "hot"}, "temperature is 'hot'; it can be 0"),
        ({"top_k": True}, "top_k is True"),
        ({"logprobs": 21}, "logprobs is 21; it can be 0 to 20"),
        ({"logit_bias": {5: 1000.0}}, "the logit bias of token 5 is 1000.0; it can be -100 to 100"),
    ],
    ids=str,
)
def test_out_of_range(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Sampling(**wrong)
    assert str(caught.value).startswith(told)
