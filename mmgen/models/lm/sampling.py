"""Logits to a token. Pure functions over the last dimension; knows no request, no model and no source of randomness.

The order is that of transformers' `generate`: logit bias, penalties, (a constraint's mask, see constrain.py), temperature,
top-k, top-p, min-p, typical-p; each filter renormalises what the one before it left. The repetition penalty looks at prompt and
answer, as in transformers; presence and frequency look at the answer alone, as in OpenAI's API and vLLM.

Rows on a CPU are drawn by our kernel, where it has the filters; it takes the same tokens as torch, but for rounding. One
uniform number chooses one token by the inverse of the cumulative distribution, so that whoever keeps a stream of uniforms per
request gets the same tokens alone and in any batch.
"""

from __future__ import annotations

import ctypes
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmgen.models.cpu import structs
from mmgen.models.cpu.kernels import fitting
from mmgen.text_params import Sampling

FIRST = (256, 2048)
"""So many tokens are looked at first where top-p or min-p end somewhere: sorting a whole vocabulary takes 20 times as long."""


@dataclass(frozen=True)
class SampledToken:
    """A token and its log-probability under the model itself, before bias, penalties, temperature and filters."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()  # the likeliest tokens with theirs, best first


@dataclass(frozen=True, eq=False)
class Candidates:
    """A distribution over few tokens, or over all where `ids` is None. Rows sum to 1; a probability of 0 was filtered out."""

    probabilities: Tensor  # (B, m)
    ids: Tensor | None  # (B, m)

    def over(self, vocabulary: int) -> Tensor:
        """(B, V)"""
        if self.ids is None:
            return self.probabilities
        return self.probabilities.new_zeros(len(self.ids), vocabulary).scatter_(1, self.ids, self.probabilities)


class UniformStream:
    """A text's numbers in [0, 1), one for each token that is drawn. They can be seen before they are taken."""

    def __init__(self, seed: int) -> None:
        self._random, self._seen = random.Random(seed), list[float]()

    def ahead(self, count: int) -> list[float]:
        """The next ones, which stay."""
        self._seen += [self._random.random() for _ in range(count - len(self._seen))]
        return self._seen[:count]

    def take(self, count: int = 1) -> list[float]:
        taken = self.ahead(count)
        del self._seen[:count]
        return taken


@dataclass(frozen=True)
class DrawPlan:
    """How the next tokens of a text are drawn, one after another."""

    sampling: Sampling
    uniforms: Sequence[float] = ()  # one for each; none where the likeliest is taken

    @staticmethod
    def fits(sampling: Sampling) -> bool:
        """Whether our kernel has all its filters."""
        return sampling.typical_p == 1


class DrawPlans:
    """Of a text each, as our kernels read them. Addresses hold as long as this does."""

    def __init__(self, plans: Sequence[DrawPlan]) -> None:
        most = max(1, *(len(plan.uniforms) for plan in plans))
        self._numbers = (ctypes.c_double * (most * len(plans)))()
        self._draws = (structs.Draw * len(plans))()
        for number, plan in enumerate(plans):
            sampling, at = plan.sampling, number * most
            self._numbers[at : at + len(plan.uniforms)] = [*plan.uniforms]
            address = ctypes.addressof(self._numbers) + at * ctypes.sizeof(ctypes.c_double)
            self._draws[number] = structs.Draw(sampling.temperature, sampling.top_p, sampling.min_p, sampling.top_k, address)
        self.address = ctypes.addressof(self._draws)


def draw(logits: Tensor, sampling: Sampling, uniforms: Sequence[float]) -> list[int]:
    """A token of each row of (B, V), whose largest logit is finite. Not for temperature 0."""
    made = fitting(logits) if DrawPlan.fits(sampling) else None
    if made is None:
        return pick(candidates(logits, sampling), uniforms)
    plans = DrawPlans([DrawPlan(sampling, [uniform]) for uniform in uniforms])
    return made.draw(logits, plans.address)


def adjusted(logits: Tensor, sampling: Sampling, prompt: Sequence[int], written: Sequence[int]) -> Tensor:
    """(V,) logits with the request's bias and penalties.

    Repetition: Keskar et al. 2019, sec. 4.1, as transformers has it: positive logits are divided, negative ones multiplied.
    """
    out = logits.clone()
    for token, bias in (sampling.logit_bias or {}).items():
        out[token] += bias
    if sampling.repetition_penalty != 1:
        seen = torch.tensor(list({*prompt, *written}), device=out.device)
        score = out[seen]
        out[seen] = torch.where(score < 0, score * sampling.repetition_penalty, score / sampling.repetition_penalty)
    if written and (sampling.presence_penalty or sampling.frequency_penalty):
        counts = Counter(written)
        number = torch.tensor(list(counts.values()), dtype=out.dtype, device=out.device)
        out[list(counts)] -= sampling.presence_penalty + sampling.frequency_penalty * number
    return out


def candidates(logits: Tensor, sampling: Sampling) -> Candidates:
    """(B, V) logits to the distribution that is drawn from. Not for temperature 0.

    Every row comes out as it would alone: where only the likeliest few were looked at, the result is that of the full sort.
    """
    scaled = (logits - logits.amax(-1, keepdim=True)).float() / sampling.temperature  # at most 0: no overflow
    p, ids = _likeliest(scaled, sampling)  # (B, m), descending unless it is all of them unsorted
    if sampling.top_p < 1:
        p = _keep(p, p.cumsum(-1, dtype=torch.float64) - p < sampling.top_p)
    if sampling.min_p > 0:
        p = _keep(p, p >= sampling.min_p * p.amax(-1, keepdim=True))
    if sampling.typical_p < 1:
        p = _typical(p, sampling.typical_p)
    return Candidates(p, ids)


def _likeliest(scores: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor | None]:
    """Probabilities and ids of as many of the likeliest tokens as the filters can leave, sorted; of all where none sorts."""
    size = scores.shape[-1]
    if sampling.top_k:
        values, ids = scores.topk(min(sampling.top_k, size), dim=-1)
        return values.softmax(-1), ids
    p = scores.softmax(-1)
    if sampling.top_p == 1 and (sampling.min_p == 0 or sampling.typical_p < 1):
        return p, None
    for few in FIRST:
        if few < size:
            values, ids = p.topk(few, dim=-1)
            if sampling.top_p < 1:
                enough = values.sum(-1, dtype=torch.float64) - 1e-4 > sampling.top_p
            else:
                enough = values[:, -1] < sampling.min_p * values[:, 0]
            if bool(enough.all()):
                return values, ids
    values, ids = p.sort(dim=-1, descending=True)
    return values, ids


def _keep(p: Tensor, where: Tensor) -> Tensor:
    """Only these and the likeliest one, summing to 1 again."""
    where = where.scatter(-1, p.argmax(-1, keepdim=True), True)
    p = p.masked_fill(~where, 0)
    return p / p.sum(-1, keepdim=True)


def _typical(p: Tensor, mass: float) -> Tensor:
    """Locally typical sampling (Meister et al. 2023, eq. 11): tokens whose surprise is nearest to the entropy."""
    surprise = -p.log()
    entropy = torch.where(p > 0, p * surprise, 0).sum(-1, keepdim=True)
    order = (surprise - entropy).abs().argsort(-1)
    ordered = p.gather(-1, order)
    where = ordered.cumsum(-1, dtype=torch.float64) - ordered < mass
    where[..., 0] = True
    p = p * torch.zeros_like(where).scatter(-1, order, where)
    return p / p.sum(-1, keepdim=True)


def pick(drawn: Candidates, uniforms: Sequence[float]) -> list[int]:
    """A token a row: the first whose cumulative probability exceeds its row's uniform number in [0, 1)."""
    cumulative = drawn.probabilities.cumsum(-1, dtype=torch.float64)
    u = torch.tensor(uniforms, dtype=torch.float64, device=cumulative.device)[:, None]
    places = torch.searchsorted(cumulative, u * cumulative[:, -1:], right=True)
    last = (cumulative < cumulative[:, -1:]).sum(-1, keepdim=True)  # where rounding took u to 1
    places = torch.minimum(places, last)
    tokens = places if drawn.ids is None else drawn.ids.gather(1, places)
    return [int(token) for token in tokens[:, 0].tolist()]


def choice(logits: Tensor, token: int, top: int) -> SampledToken:
    """What the model's own (V,) logits say about a chosen token."""
    logprobs = logits.float().log_softmax(-1)
    best = logprobs.topk(min(top, len(logprobs)))
    pairs = tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
    return SampledToken(token, float(logprobs[token]), pairs)
