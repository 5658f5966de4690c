"""Sampling and greedy decoding: a token for each sequence after a forward pass, several where drafts are accepted.

A token depends on its own sequence's logits, constraint, penalties and random stream only (text i of a job: seed + i), so that
a seed gives the same text in any batch and after any preemption.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from mmgen.engine.job import Job
from mmgen.errors import BadWeights
from mmgen.models.cpu.kernels import largest
from mmgen.models.lm.sampling import Candidates, DrawPlan, UniformStream, adjusted, candidates, draw
from mmgen.models.lm.speculative import PromptLookup, accept
from mmgen.runners.generation import (
    CacheOperations,
    FinishedText,
    GenerationState,
    TextWriter,
    TokenSequence,
    Vocabulary,
    ruled,
)
from mmgen.text_params import Sampling

T = TypeVar("T")


@dataclass(eq=False)
class SamplerState:
    """Sampling state of one text."""

    writer: TextWriter
    uniforms: UniformStream  # one number per token
    guesses: random.Random  # for tokens that the draft model samples
    lookup: PromptLookup | None  # where the request asks for drafts by prompt lookup

    @property
    def left(self) -> int:
        """Tokens until max_tokens."""
        return self.writer.request.max_tokens - len(self.writer.ids)


class SampledSequences(GenerationState):
    """A job of `n` texts that are sampled independently."""

    def __init__(self, job: Job, vocabulary: Vocabulary, caches: CacheOperations) -> None:
        super().__init__(job, vocabulary, caches)
        self.writers: list[TextWriter] = []
        self.samplers: dict[TokenSequence, SamplerState] = {}
        self._add_sampler(self.branches[0])

    def _add_sampler(self, branch: TokenSequence) -> None:
        assert self.job.seed is not None
        seed = self.job.seed + len(self.writers)
        self.writers.append(TextWriter(self.job, len(self.writers), self.vocabulary))
        lookup = PromptLookup(self.request.lookup) if self.request.lookup else None
        self.samplers[branch] = SamplerState(self.writers[-1], UniformStream(seed), random.Random(f"draft {seed}"), lookup)

    def look_up(self, most: int) -> None:
        """Drafts by prompt lookup, at most `most` tokens each, for sequences in decode (only their last token is unread)."""
        for branch in self.branches:
            sampler = self.samplers[branch]
            if sampler.lookup is not None and branch.unread == 1 and not branch.drafts:
                branch.drafts = sampler.lookup.propose(branch.ids)[: max(0, min(most, sampler.left - 1))]

    def drafts_due(self, branch: TokenSequence) -> bool:
        """Whether the draft model runs before the sequence's next token: before every token but the first and the last."""
        sampler = self.samplers[branch]
        return bool(self.request.draft and sampler.writer.ids) and sampler.left > 1

    def turns(self) -> list[TokenTurn]:
        """One for each sequence with logits. After the prefill the sequence is forked into the request's `n`."""
        ready = [branch for branch in self.branches if branch.logits is not None]
        while ready and len(self.writers) < self.request.params.n:
            fork = self.caches.fork(ready[0])
            fork.logits = ready[0].logits
            self.branches.append(fork)
            ready.append(fork)
            self._add_sampler(fork)
        return [TokenTurn(self, branch, self.samplers[branch]) for branch in ready]

    def settled(self, turn: TokenTurn) -> None:
        """Called when all tokens of this forward pass are chosen: counts drafts, and ends the sequence at its last token."""
        branch, guessed = turn.branch, len(turn.branch.drafts)
        self.guessed += guessed
        self.accepted += turn.accepted
        if guessed and turn.sampler.lookup is not None:
            turn.sampler.lookup.learn(guessed, turn.accepted)
        branch.drafts, branch.drawn_from, branch.logits = [], [], None
        self.end_if_done(branch)

    def append(self, branch: TokenSequence, tokens: Sequence[int]) -> int:
        """Tokens that were chosen elsewhere by the branch's `plan`, until the text ends. Returns how many it took."""
        writer, taken = self.samplers[branch].writer, 0
        for token in tokens:
            writer.take(token, None, False)
            branch.ids.append(token)
            taken += 1
            if writer.reason is not None:
                break
        if not self.request.params.sampling.greedy:
            self.samplers[branch].uniforms.take(taken)
        return taken

    def plan(self, branch: TokenSequence, most: int) -> DrawPlan:
        """How so many next tokens are drawn."""
        sampling = self.request.params.sampling
        return DrawPlan(sampling, () if sampling.greedy else self.samplers[branch].uniforms.ahead(most))

    def end_if_done(self, branch: TokenSequence) -> None:
        if self.samplers[branch].writer.reason is not None:
            self.branches.remove(branch)
            self.caches.drop(branch)

    def texts(self) -> tuple[FinishedText, ...]:
        return tuple(writer.written() for writer in self.writers)


@dataclass(eq=False)
class TokenTurn:
    """A sequence that chooses its tokens after a forward pass: one, and another for each accepted draft."""

    decoding: SampledSequences
    branch: TokenSequence
    sampler: SamplerState
    accepted: int = 0  # drafts so far

    @property
    def sampling(self) -> Sampling:
        return self.decoding.request.params.sampling

    @property
    def logits(self) -> Tensor:
        """(V,) the model's, of the next token."""
        assert self.branch.logits is not None
        return self.branch.logits[self.accepted]

    def processed(self) -> Tensor:
        """(V,) after the request's logit bias, penalties and rules, see `generation.ruled`."""
        logits, request = self.logits, self.decoding.request
        if self.sampling.adjusts:
            logits = adjusted(logits, self.sampling, request.prompt, self.sampler.writer.ids)
        return ruled(logits, request, self.branch, self.decoding.virtual)

    def take(self, token: int) -> bool:
        """Appends a token. True if it equals its draft: the logits after it are there, and another token can be chosen."""
        logits, constraint, drafts = self.logits, self.branch.constraint, self.branch.drafts
        if constraint is not None:
            constraint.accept(token)
        self.sampler.writer.take(token, logits, constraint is not None and constraint.complete)
        self.branch.ids.append(token)
        right = self.accepted < len(drafts) and drafts[self.accepted] == token
        self.accepted += right
        return right and self.sampler.writer.reason is None


def settle(turns: Sequence[TokenTurn]) -> None:
    """Chooses all tokens of this forward pass, batched over sequences with equal sampling settings. A bad job fails alone."""
    active = list(turns)
    while active:
        active = [turn for turn, token in list(_choose(active)) if _attempt(turn, partial(turn.take, token))]
    for turn in turns:
        if turn.decoding.job.ended is None:
            turn.decoding.settled(turn)


def _choose(turns: Sequence[TokenTurn]) -> Iterator[tuple[TokenTurn, int]]:
    """One token for each turn whose logits are sound."""
    groups: dict[Sampling, list[tuple[TokenTurn, Tensor]]] = {}
    for turn in turns:
        row = _attempt(turn, turn.processed)
        if row is not None:
            groups.setdefault(turn.sampling, []).append((turn, row))
    for sampling, group in groups.items():
        logits = _together([row for _, row in group])
        best, likeliest = (column.tolist() for column in largest(logits))
        sound = [row for row, (turn, _) in enumerate(group) if _attempt(turn, partial(_check, best[row]))]
        if sampling.greedy:
            yield from ((group[row][0], likeliest[row]) for row in sound)
        elif sound:
            yield from _draw([group[row][0] for row in sound], logits if len(sound) == len(group) else logits[sound])


def _together(rows: Sequence[Tensor]) -> Tensor:
    """(V,) each -> (B, V): a view where they lie behind one another, as a pass gives them, which saves a copy of megabytes."""
    first, size = rows[0], rows[0].numel()
    begin, step = first.data_ptr(), size * first.element_size()
    beside = all(row.data_ptr() == begin + number * step and row.is_contiguous() for number, row in enumerate(rows))
    if beside and begin + len(rows) * step <= first.untyped_storage().data_ptr() + first.untyped_storage().nbytes():
        return first.as_strided((len(rows), size), (size, 1))
    return torch.stack(list(rows))


def _draw(turns: list[TokenTurn], logits: Tensor) -> Iterator[tuple[TokenTurn, int]]:
    """Samples from (B, V); where a draft model sampled the next token, by speculative sampling (Leviathan et al. 2023)."""
    sampling, guessed = turns[0].sampling, any(turn.accepted < len(turn.branch.drawn_from) for turn in turns)
    uniforms = [turn.sampler.uniforms.take()[0] for turn in turns]
    found = candidates(logits, sampling) if guessed else None
    for row, (turn, token) in enumerate(zip(turns, draw(logits, sampling, uniforms), strict=True)):
        if found is not None and turn.accepted < len(turn.branch.drawn_from):
            p = _row(found, row).over(logits.shape[-1])[0]
            token = accept(turn.branch.drafts[turn.accepted], p, turn.branch.drawn_from[turn.accepted], uniforms[row])
        yield turn, token


def _row(found: Candidates, row: int) -> Candidates:
    return Candidates(found.probabilities[row : row + 1], None if found.ids is None else found.ids[row : row + 1])


def _check(best: float) -> bool:
    if not float("-inf") < best < float("inf"):
        raise BadWeights("the model's logits are NaN or infinite; its weights are damaged, or its precision is too low")
    return True


def _attempt(turn: TokenTurn, what: Callable[[], T]) -> T | None:
    """`what()`, or None if it raised, which fails the job, or if the job has ended."""
    if turn.decoding.job.ended is not None:
        return None
    try:
        return what()
    except Exception as error:
        turn.decoding.job.fail(error)
        return None
