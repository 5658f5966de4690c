"""Searches for a likely text, a token at a time. Knows scores and token ids; no model, cache or request.

Whoever drives a search gives it what the model says about its texts and gets back which texts go on with which token.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mmgen.errors import BadRequest

EarlyStopping = bool | Literal["never"]


@dataclass(frozen=True)
class Hypothesis:
    """A finished text of a beam search."""

    score: float  # log-probability / length ** length_penalty
    ids: tuple[int, ...]  # with the end token, if that ended it


class BeamSearch:
    """The likeliest texts under a beam, scored and ended as transformers' `generate(num_beams=...)` does.

    Args:
        beams: texts that are kept.
        most: tokens of a text.
        ends: tokens that end one.
        length_penalty: exponent of the length by which a log-probability is divided: above 0 for longer texts.
        early_stopping: True: ends with `beams` finished texts; False: when the best open text, scored by its length so far,
            cannot beat them; "never": when it cannot even at full length.
    """

    def __init__(
        self,
        beams: int,
        most: int,
        ends: Collection[int],
        length_penalty: float = 1.0,
        early_stopping: EarlyStopping = False,
    ) -> None:
        self.beams, self.most, self.ends = beams, most, frozenset(ends)
        self.length_penalty, self.early_stopping = length_penalty, early_stopping
        self.live: list[tuple[int, ...]] = [()]
        self.scores = [0.0]  # of the live ones, best first
        self.finished: list[Hypothesis] = []  # at most `beams`, best first
        self.done = False

    def step(self, logprobs: Tensor) -> list[tuple[int, int]]:
        """(live, V) log-probabilities of the next token -> the new live texts as (parent, token); none once `done`."""
        sums = (logprobs.float() + torch.tensor(self.scores, device=logprobs.device)[:, None]).flatten()
        wanted = max(2, 1 + len(self.ends)) * self.beams  # enough that `beams` do not end
        top = sums.topk(min(wanted, len(sums)))
        length, children = len(self.live[0]) + 1, []
        for rank, (score, place) in enumerate(zip(top.values.tolist(), top.indices.tolist(), strict=True)):
            parent, token = divmod(place, logprobs.shape[-1])
            if score == float("-inf"):
                break
            if token not in self.ends and length < self.most:
                children.append((score, parent, token))
            elif rank < self.beams:
                self._finish(score / length**self.length_penalty, (*self.live[parent], token))
        children = children[: self.beams]
        self.scores = [score for score, _, _ in children]
        self.live = [(*self.live[parent], token) for _, parent, token in children]
        self.done = not children or self._settled(length)
        if self.done and not self.finished:
            raise BadRequest("no text can go on under the constraint; loosen it")
        return [] if self.done else [(parent, token) for _, parent, token in children]

    def _finish(self, score: float, ids: tuple[int, ...]) -> None:
        self.finished = sorted([*self.finished, Hypothesis(score, ids)], key=lambda one: -one.score)[: self.beams]

    def _settled(self, length: int) -> bool:
        if len(self.finished) < self.beams:
            return False
        if self.early_stopping is True:
            return True
        hoped = self.most if self.early_stopping == "never" and self.length_penalty > 0 else length
        return bool(self.scores[0] / hoped**self.length_penalty <= self.finished[-1].score)


class Contrastive:
    """A likely token that does not repeat what is there; Su et al. 2022 (A Contrastive Framework), eq. 5.

    Args:
        alpha: weight of the penalty, 0 (greedy) to 1.
        k: candidates a token.
    """

    def __init__(self, alpha: float = 0.6, k: int = 4) -> None:
        self.alpha, self.k = alpha, k
        self.probabilities = torch.empty(0)  # of the candidates
        self.tokens: list[int] = []

    def propose(self, logits: Tensor) -> list[int]:
        """(V,) logits -> the candidates; each is to be read by the model."""
        top = logits.float().softmax(-1).topk(min(self.k, len(logits)))
        kept = top.values > 0  # under a constraint there may be fewer
        self.probabilities, self.tokens = top.values[kept], top.indices[kept].tolist()
        return self.tokens

    def choose(self, states: Tensor, before: Tensor) -> int:
        """Hidden states (k, D) of the candidates and (N, D) of all tokens before them -> which candidate it is."""
        alike = F.normalize(states.float(), dim=-1) @ F.normalize(before.float(), dim=-1).T  # cosines, (k, N)
        return int(((1 - self.alpha) * self.probabilities - self.alpha * alike.amax(-1)).argmax())
