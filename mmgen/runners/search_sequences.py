"""Beam search and contrastive search: how a job's sequences continue after each forward pass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from mmgen.engine.job import Job
from mmgen.models.lm.sampling import adjusted
from mmgen.models.lm.sequence_search import BeamSearch, Contrastive
from mmgen.runners.generation import (
    CacheOperations,
    FinishedText,
    GenerationState,
    TextPiece,
    TextWriter,
    TokenSequence,
    Vocabulary,
    ruled,
)


class SequenceSearch(GenerationState):
    """A decoding strategy that compares a job's sequences: it advances once all of them have logits."""

    @abstractmethod
    def advance(self) -> None:
        """One step of the search. Called when every sequence has the logits of its next token."""

    def _replace(self, children: Sequence[tuple[int, int]]) -> None:
        """Replaces the sequences by (index of a parent, its next token); the parents' KV blocks are shared, copy on write."""
        before, self.branches = self.branches, []
        for parent, token in children:
            child = self.caches.fork(before[parent])
            child.ids.append(token)
            if child.constraint is not None:
                child.constraint.accept(token)
            self.branches.append(child)
        for branch in before:
            self.caches.drop(branch)

    def _processed(self, branch: TokenSequence, scores: Tensor) -> Tensor:
        """(V,) after the request's logit bias, penalties and constraint."""
        prompt = self.request.prompt
        if self.request.params.sampling.adjusts:
            scores = adjusted(scores, self.request.params.sampling, prompt, branch.ids[self.start :])
        return ruled(scores, self.request, branch, self.virtual)


class BeamSequences(SequenceSearch):
    """Beam search. Bias and penalties are applied to log-probabilities, as in transformers, not to logits."""

    def __init__(self, job: Job, vocabulary: Vocabulary, caches: CacheOperations) -> None:
        super().__init__(job, vocabulary, caches)
        request = self.request
        self.ends = vocabulary.ends if request.ends is None else request.ends
        params = request.params
        self.search = BeamSearch(params.beams, request.max_tokens, self.ends, params.length_penalty, params.early_stopping)

    def advance(self) -> None:
        rows = []
        for branch in self.branches:
            assert branch.logits is not None
            rows.append(self._processed(branch, branch.logits[0].float().log_softmax(-1)))
        self._replace(self.search.step(torch.stack(rows)))

    def texts(self) -> tuple[FinishedText, ...]:
        """The `n` best hypotheses. Their text is emitted here: until now any of them could be dropped."""
        best = []
        for index, one in enumerate(self.search.finished[: self.request.params.n]):
            ended = one.ids[-1] in self.ends
            text = self.vocabulary.decode(one.ids[:-1] if ended else one.ids)
            self.job.emit(TextPiece(index, text))
            best.append(FinishedText(text, one.ids, "stop" if ended else "length", score=one.score))
        return tuple(best)


class ContrastiveSequences(SequenceSearch):
    """Contrastive search (Su et al. 2022). The sequences are one text, each with another candidate for its last token."""

    def __init__(self, job: Job, vocabulary: Vocabulary, caches: CacheOperations) -> None:
        super().__init__(job, vocabulary, caches)
        self.search = Contrastive(self.request.alpha, self.request.candidates)
        self.writer = TextWriter(job, 0, vocabulary)
        self.states: Tensor | None = None  # (prompt + max_tokens, D) hidden states of the text without candidates
        self.logits: Tensor | None = None  # (V,) that the candidates were taken from

    @property
    def wants_states(self) -> bool:
        return self.logits is None

    def collect(self, start: int, states: Tensor) -> None:
        """Stores the prompt's hidden states (N, D) from position `start`."""
        if self.states is None:
            self.states = states.new_empty(len(self.request.prompt) + self.request.max_tokens, states.shape[-1])
        self.states[start : start + len(states)] = states

    def advance(self) -> None:
        chosen = 0 if self.logits is None else self._choose(self.logits)
        branch = self.branches[chosen]
        assert branch.logits is not None
        self.logits = branch.logits[0]
        if self.writer.reason is None:
            self._replace([(chosen, token) for token in self.search.propose(self._processed(branch, self.logits))])
        else:
            self._replace([])

    def _choose(self, logits: Tensor) -> int:
        """The index of the candidate that the text continues with."""
        assert self.states is not None
        known = len(self.branches[0].ids) - 1 - self.virtual
        states = torch.stack([branch.state for branch in self.branches if branch.state is not None])  # (k, D)
        chosen = self.search.choose(states, self.states[:known])
        self.states[known] = states[chosen]
        constraint = self.branches[chosen].constraint
        self.writer.take(self.search.tokens[chosen], logits, constraint is not None and constraint.complete)
        return chosen

    def texts(self) -> tuple[FinishedText, ...]:
        return (self.writer.written(),)
