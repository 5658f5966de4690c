"""Models of transformers that keep a cache of their own, step by step: a token of every text, and prompts in parts.

For what cannot run on our paged KV cache (`mmgen.models.transformers_backend.own_cache`). Each text has the library's cache
for itself; texts whose caches allow it take their next token in one forward pass, the others one after another in the same
quantum. Knows which tokens are read when; not how they are chosen, or what a cache holds.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mmgen.engine.fault_isolation import apart
from mmgen.engine.job import Job
from mmgen.engine.scheduling.cost_model import Estimate
from mmgen.errors import BadRequest, TooLarge, TooLong
from mmgen.models.transformers_backend.cache_state import Unstackable
from mmgen.models.transformers_backend.own_cache import OwnCacheLM
from mmgen.models.transformers_backend.sequence_cache import SequenceCache
from mmgen.runners import progress
from mmgen.runners.generation import CacheOperations, GenerationState, TextRequest, TokenSequence, Vocabulary, check
from mmgen.runners.preemption_hooks import Pause, pause_between
from mmgen.runners.roofline import milliseconds
from mmgen.runners.search_sequences import ContrastiveSequences
from mmgen.runners.text import SCORED, usual_budget

COPIES = 2
"""Of a text's cache at once: while it is stacked with others, its own and its part of theirs."""

Row = tuple[Job, TokenSequence, int]
"""A branch in a pass, and how many tokens of it are read."""


class OwnCacheRunner(CacheOperations):
    """One model. Jobs of any settings share its passes."""

    kind, streams, work, unit = "kv", True, "text", "tokens"

    def __init__(self, lm: OwnCacheLM, vocabulary: Vocabulary, *, memory: int, budget: int | None = None) -> None:
        """
        Args:
            memory: bytes of caches of all jobs that are under way; the others wait.
            budget: tokens a quantum; None: about a tenth of a second on two cores, 2048 elsewhere.
        """
        self.lm, self.vocabulary, self.memory = lm, vocabulary, memory
        self.parameters = sum(parameter.numel() for parameter in lm.parameters())
        self.budget = usual_budget(lm) if budget is None else budget
        self.active: dict[Job, int] = {}  # that began, the oldest first, with the bytes that they may take
        self.prompt_tokens = self.stacked = 0

    def pause_with(self, pause: Pause) -> None:
        if not self.lm.held:  # a pass within a pass would change its modules' states
            pause_between([self.lm.model], pause)

    def key(self, job: Job) -> Hashable:
        return "text"

    def estimate(self, job: Job) -> Estimate:
        """Chunks of its prompt, and a quantum a token. A pass reads every weight, and uses it once for every token."""
        request: TextRequest = job.payload
        chunks = -(-len(request.prompt) // self.budget)
        return Estimate(chunks + request.max_tokens, milliseconds(self.parameters, self.parameters, self.lm.device))

    def counters(self) -> dict[str, float]:
        """What is counted over all jobs so far."""
        return {"prompt tokens": self.prompt_tokens, "tokens in batches": self.stacked}

    def reserve(self, job: Job) -> int:
        """Bytes of its caches at full length. Raises BadRequest, TooLong or TooLarge with the numbers."""
        request: TextRequest = job.payload
        _check_options(request)
        decoder = (
            request if request.source is None else replace(request, source=request.prompt)
        )  # the source has a limit of its own
        check(decoder, self.lm.config.max_tokens)
        if len(request.source or ()) > self.lm.config.max_source:
            raise TooLong(
                f"the source is {len(request.source or ())} tokens, the model reads {self.lm.config.max_source}; shorten it"
            )
        nbytes = self._bytes(request) + self.lm.reading_bytes(request.seen)
        if nbytes > self.memory:
            raise TooLarge(
                f"{len(request.prompt)} tokens of prompt and {request.branches} x {request.max_tokens} of answer need "
                f"{nbytes:,} bytes of cache, there are {self.memory:,}; ask for fewer tokens or texts"
            )
        return nbytes

    def release(self, job: Job) -> None:
        if self.active.pop(job, None) is not None:
            self.prompt_tokens += len(job.payload.source or job.payload.prompt)
        job.state = None

    def fork(self, branch: TokenSequence) -> TokenSequence:
        constraint = None if branch.constraint is None else branch.constraint.copy()
        cache = None if branch.cache is None else branch.cache.fork()
        return replace(branch, ids=list(branch.ids), constraint=constraint, cache=cache, logits=None, state=None)

    def drop(self, branch: TokenSequence) -> None:
        branch.cache = None

    @torch.inference_mode()
    def step(self, jobs: Sequence[Job]) -> None:
        left = self.budget
        for job in jobs:
            left -= self._begin(job, left)
            job.waits = job not in self.active and job.ended is None and not self._fits(job)
        some = set(jobs)
        begun = [job for job in self.active if job in some and job.ended is None]
        rows = self._plan(begun, left)
        for job in jobs:
            job.units = sum(count for one, _, count in rows if one is job)
        for group in self._groups([row for row in rows if row[2] == 1]):
            self._together(group)
        for row in rows:
            if row[1].logits is None:
                self._alone(row)
        progress.choose([job for job in begun if job.ended is None])
        progress.finish([job for job in begun if job.ended is None])

    def _bytes(self, request: TextRequest) -> int:
        length, source = len(request.prompt) + request.max_tokens, len(request.source or ())
        return COPIES * request.branches * self.lm.size.of(length, source)

    def _fits(self, job: Job) -> bool:
        return not self.active or sum(self.active.values()) + self._bytes(job.payload) <= self.memory

    def _begin(self, job: Job, left: int) -> int:
        """Encodes its source, if there is time left in this quantum; how many tokens that took."""
        request: TextRequest = job.payload
        source = request.source or ()
        if job in self.active or not self._fits(job) or (source and left <= 0):
            return 0
        self.active[job] = self._bytes(request)
        try:
            state: GenerationState = progress.DECODINGS[request.params.strategy](job, self.vocabulary, self)
            state.branches[0].cache = SequenceCache(self.lm.encode(source, request.seen) if source else None, seen=request.seen)
            job.state = state
        except Exception as error:
            job.fail(error)
        return len(source)

    def _plan(self, jobs: Sequence[Job], left: int) -> list[Row]:
        """Who reads what in this quantum: the next token of every text, then prompts as far as the budget goes."""
        branches = [(job, branch) for job in jobs for branch in job.state.branches if branch.logits is None]
        rows = [(job, branch, 1) for job, branch in branches if branch.unread == 1]
        left = max(1, left - len(rows))
        for job, branch in branches:
            if branch.unread > 1 and left > 0:
                whole = not self.lm.chunks or (job.payload.seen and not branch.cache.length)  # images are read with all of it
                most = min(left, SCORED) if job.state.wants_prompt_logits else left
                count = branch.unread if branch.unread <= most or whole else most
                rows.append((job, branch, count))
                left -= count
        return rows

    def _groups(self, rows: Sequence[Row]) -> list[list[Row]]:
        """What is read in one pass: texts of one length, or where zeros in front of them do no harm, of about one length."""
        groups: dict[Hashable, list[Row]] = {}
        if len(rows) < 2:
            return []
        for row in rows:
            cache = row[1].cache
            if cache is None or not cache.length or not self.lm.stacks:
                continue
            length = cache.length.bit_length() if self.lm.pads else cache.length
            groups.setdefault((length, 0 if cache.source is None else cache.source.length.bit_length()), []).append(row)
        return [group for group in groups.values() if len(group) > 1]

    def _together(self, rows: Sequence[Row]) -> None:
        """The next token of every text; those that it did not come to are read alone."""
        texts = [(row[1].cache, row[1].ids) for row in rows if row[1].cache is not None]
        try:
            logits, states = self.lm.read(texts, any(_searches(row[0]) for row in rows))
        except Unstackable:
            return
        except Exception as error:
            for cache, _ in texts:
                cache.forget()
            for some in apart(rows, error):
                for job, branch, _ in some:
                    self._alone((job, branch, branch.unread))
            return
        self.stacked += len(rows)
        for at, (job, branch, _) in enumerate(rows):
            _took(job, branch, logits[at : at + 1], None if states is None else states[at])

    def _alone(self, row: Row) -> None:
        job, branch, count = row
        if job.ended is not None:
            return
        assert branch.cache is not None
        start = branch.cache.length
        try:
            every = job.state.wants_prompt_logits
            logits, states = self.lm.read([(branch.cache, branch.ids[: start + count])], _searches(job), every)
            if every:
                job.state.read_prompt(start, logits)
                logits = logits[-1:]
        except Exception as error:
            job.fail(error)
            return
        _took(job, branch, logits, None if states is None else states[0], start)


def _searches(job: Job) -> bool:
    """Whether it asks for hidden states."""
    return isinstance(job.state, ContrastiveSequences)


def _took(job: Job, branch: TokenSequence, logits: Tensor, states: Tensor | None, start: int = 0) -> None:
    """The branch's tokens from `start` on are read: (1, V) logits, (N, D) states."""
    if isinstance(job.state, ContrastiveSequences) and states is not None:
        if job.state.wants_states:
            job.state.collect(start, states)
        branch.state = states[-1]
    if branch.unread == 0 or (branch.cache is not None and not branch.cache.length):  # what keeps nothing has read it all
        branch.logits = logits


def _check_options(request: TextRequest) -> None:
    if request.adapter is not None:
        raise BadRequest("this model is run by transformers with its own cache, which takes no adapter; leave it out")
    if request.lookup or request.draft:
        raise BadRequest("this model's cache cannot step back behind a wrong guess; leave out lookup and the draft model")
