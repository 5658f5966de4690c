"""Texts that go on by one drawn token at a time, or several where guesses were right. Knows logits; not passes or memory.

A token is chosen from its text's logits alone, by its text's own constraint, penalties and stream of uniform numbers (text i of
a job has that of the job's seed + i), so that a seed gives the same text alone, in any company and after any interruption.
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
from mmgen.models.lm.sampling import Candidates, adjusted, candidates, pick
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
    """What belongs to one drawn text."""

    writer: TextWriter
    uniforms: random.Random  # one number a token
    guesses: random.Random  # the draft model's
    lookup: PromptLookup | None

    @property
    def left(self) -> int:
        """Tokens that may still be written."""
        return self.writer.request.max_tokens - len(self.writer.ids)


class SampledSequences(GenerationState):
    """A job of one or more texts, each going on alone."""

    def __init__(self, job: Job, vocabulary: Vocabulary, caches: CacheOperations) -> None:
        super().__init__(job, vocabulary, caches)
        self.writers: list[TextWriter] = []
        self.voices: dict[TokenSequence, SamplerState] = {}
        self._gives_voice(self.branches[0])

    def _gives_voice(self, branch: TokenSequence) -> None:
        assert self.job.seed is not None
        seed = self.job.seed + len(self.writers)
        self.writers.append(TextWriter(self.job, len(self.writers), self.vocabulary))
        lookup = PromptLookup(self.request.lookup) if self.request.lookup else None
        self.voices[branch] = SamplerState(self.writers[-1], random.Random(seed), random.Random(f"draft {seed}"), lookup)

    def look_up(self, most: int) -> None:
        """Guesses of at most `most` tokens, from what repeats, for branches that have but their last token to read."""
        for branch in self.branches:
            voice = self.voices[branch]
            if voice.lookup is not None and branch.unread == 1 and not branch.drafts:
                branch.drafts = voice.lookup.propose(branch.ids)[: max(0, min(most, voice.left - 1))]

    def drafts_due(self, branch: TokenSequence) -> bool:
        """Whether the draft model guesses before the branch's next token: before all but the first and the last."""
        voice = self.voices[branch]
        return bool(self.request.draft and voice.writer.ids) and voice.left > 1

    def turns(self) -> list[TokenTurn]:
        """Of all branches that were read. Behind the prompt there are as many branches as texts were asked for."""
        read = [branch for branch in self.branches if branch.logits is not None]
        while read and len(self.writers) < self.request.params.n:
            twin = self.caches.fork(read[0])
            twin.logits = read[0].logits
            self.branches.append(twin)
            read.append(twin)
            self._gives_voice(twin)
        return [TokenTurn(self, branch, self.voices[branch]) for branch in read]

    def settled(self, turn: TokenTurn) -> None:
        """The branch's tokens of this pass are chosen."""
        branch, guessed = turn.branch, len(turn.branch.drafts)
        self.guessed += guessed
        self.accepted += turn.right
        if guessed and turn.voice.lookup is not None:
            turn.voice.lookup.learn(guessed, turn.right)
        branch.drafts, branch.drawn_from, branch.logits = [], [], None
        if turn.voice.writer.reason is not None:
            self.branches.remove(branch)
            self.caches.drop(branch)

    def texts(self) -> tuple[FinishedText, ...]:
        return tuple(writer.written() for writer in self.writers)


@dataclass(eq=False)
class TokenTurn:
    """A branch choosing its tokens after a pass: one, and one more for every guess that was right."""

    decoding: SampledSequences
    branch: TokenSequence
    voice: SamplerState
    right: int = 0  # guesses so far

    @property
    def sampling(self) -> Sampling:
        return self.decoding.request.params.sampling

    @property
    def logits(self) -> Tensor:
        """(V,) of the next token: the model's own."""
        assert self.branch.logits is not None
        return self.branch.logits[self.right]

    def bent(self) -> Tensor:
        """(V,) as the request has them."""
        logits, request = self.logits, self.decoding.request
        if self.sampling.adjusts:
            logits = adjusted(logits, self.sampling, request.prompt, self.voice.writer.ids)
        return ruled(logits, request, self.branch)

    def take(self, token: int) -> bool:
        """Whether there is another to choose: the token is the one that was guessed."""
        logits, constraint, drafts = self.logits, self.branch.constraint, self.branch.drafts
        if constraint is not None:
            constraint.accept(token)
        self.voice.writer.take(token, logits, constraint is not None and constraint.complete)
        self.branch.ids.append(token)
        guessed = self.right < len(drafts) and drafts[self.right] == token
        self.right += guessed
        return guessed and self.voice.writer.reason is None


def settle(turns: Sequence[TokenTurn]) -> None:
    """All of them choose, those with equal settings at once; a bad job fails alone."""
    active = list(turns)
    while active:
        active = [turn for turn, token in list(_choose(active)) if _attempt(turn, partial(turn.take, token))]
    for turn in turns:
        if turn.decoding.job.ended is None:
            turn.decoding.settled(turn)


def _choose(turns: Sequence[TokenTurn]) -> Iterator[tuple[TokenTurn, int]]:
    groups: dict[Sampling, list[tuple[TokenTurn, Tensor]]] = {}
    for turn in turns:
        bent = _attempt(turn, turn.bent)
        if bent is not None:
            groups.setdefault(turn.sampling, []).append((turn, bent))
    for sampling, group in groups.items():
        logits = torch.stack([bent for _, bent in group])
        best, likeliest = (column.tolist() for column in logits.max(-1))
        sound = [row for row, (turn, _) in enumerate(group) if _attempt(turn, partial(_check, best[row]))]
        if sampling.greedy:
            yield from ((group[row][0], likeliest[row]) for row in sound)
        elif sound:
            yield from _draw([group[row][0] for row in sound], logits if len(sound) == len(group) else logits[sound])


def _draw(turns: list[TokenTurn], logits: Tensor) -> Iterator[tuple[TokenTurn, int]]:
    drawn = candidates(logits, turns[0].sampling)
    uniforms = [turn.voice.uniforms.random() for turn in turns]
    for row, (turn, token) in enumerate(zip(turns, pick(drawn, uniforms), strict=True)):
        if turn.right < len(turn.branch.drawn_from):
            p = _row(drawn, row).over(logits.shape[-1])[0]
            token = accept(turn.branch.drafts[turn.right], p, turn.branch.drawn_from[turn.right], uniforms[row])
        yield turn, token


def _row(drawn: Candidates, row: int) -> Candidates:
    return Candidates(drawn.probabilities[row : row + 1], None if drawn.ids is None else drawn.ids[row : row + 1])


def _check(best: float) -> bool:
    if not float("-inf") < best < float("inf"):
        raise BadWeights("the model's output is no number; its weights are damaged, or its precision is too low")
    return True


def _attempt(turn: TokenTurn, what: Callable[[], T]) -> T | None:
    """None where it failed, which is the job's end; nor is anything tried for a job that ended."""
    if turn.decoding.job.ended is not None:
        return None
    try:
        return what()
    except Exception as error:
        turn.decoding.job.fail(error)
        return None
