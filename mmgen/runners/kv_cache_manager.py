"""KV-block allocation and preemption, oldest job first. Knows jobs by age, sequences and blocks; not passes or logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile

from mmgen.engine.job import Job
from mmgen.models.lm.adapters.prefix_tuning import Prefix
from mmgen.models.lm.paged.block_manager import SIZE, BlockTable, digests
from mmgen.models.lm.paged.kv_pool import KVPool
from mmgen.models.lm.paged.model import PagedModel
from mmgen.runners.generation import CacheOperations, GenerationState, TokenSequence

ANSWER = 512
"""Tokens of an answer for which place is kept free behind its prompt, as long as nobody else needs it."""


class KVCacheManager(CacheOperations):
    """The pools of a model and its draft model, and all jobs that began, the oldest first.

    An older job takes blocks from younger ones, never the other way round, and one alone always has enough (the runner refuses
    it otherwise): so the oldest goes on, and everyone becomes the oldest.
    """

    def __init__(
        self,
        lm: PagedModel,
        draft: PagedModel | None,
        memory: int,
        prefix_of: Callable[[str | None], Prefix | None] = lambda adapter: None,
    ) -> None:
        """`prefix_of`: an adapter's keys and values that stand before its texts; None: it has none."""
        self.prefix_of = prefix_of
        self.lm, self.draft = lm, draft
        self.block_bytes = sum(SIZE * model.kv_bytes_per_token for model in (lm, draft) if model is not None)
        self.count = memory // self.block_bytes
        self.pool = _pool(lm, self.count)
        self.draft_pool = None if draft is None else _pool(draft, self.count)
        self.active: dict[Job, GenerationState] = {}
        self.waiting: set[Job] = set()  # that found no place when they last asked
        self.preempted = 0  # how often

    def away(self) -> None:
        """Gives the pools' memory back, and with it what is known of earlier texts. Only while no job is under way."""
        assert not self.active
        self.pool = _pool(self.lm, 0)
        self.draft_pool = None if self.draft is None else _pool(self.draft, 0)

    def back(self) -> None:
        self.pool = _pool(self.lm, self.count)
        self.draft_pool = None if self.draft is None else _pool(self.draft, self.count)

    def fork(self, branch: TokenSequence) -> TokenSequence:
        constraint = None if branch.constraint is None else branch.constraint.copy()
        twin = replace(branch, ids=list(branch.ids), constraint=constraint, drafts=[], drawn_from=[], logits=None, state=None)
        if branch.table is not None:
            twin.table = self.pool.fork(branch.table, branch.table.want)
        if branch.draft_table is not None and self.draft_pool is not None:
            twin.draft_table = self.draft_pool.fork(branch.draft_table, branch.draft_table.want)
        return twin

    def drop(self, branch: TokenSequence) -> None:
        if branch.table is not None:
            self.pool.release(branch.table)
        if branch.draft_table is not None and self.draft_pool is not None:
            self.draft_pool.release(branch.draft_table)
        branch.table = branch.draft_table = None

    def cut(self, branch: TokenSequence) -> None:
        """What was read behind the branch's last token but one was a wrong guess."""
        for pool, table in ((self.pool, branch.table), (self.draft_pool, branch.draft_table)):
            if pool is not None and table is not None:
                pool.cut(table, len(branch.ids) - 1)

    def renew(self, job: Job) -> None:
        """Lets go of keys and values of texts that have become so long that their rotary frequencies are others."""
        prompt = self.active[job].start
        for branch in self.active[job].branches:
            for model, table in ((self.lm, branch.table), (self.draft, branch.draft_table)):
                if model is None or table is None:
                    continue
                if table.rope_length != model.config.rope_length(prompt, len(branch.ids)):
                    self.drop(branch)
                    break

    def leave(self, job: Job) -> None:
        """The job ended."""
        decoding = self.active.pop(job, None)
        self.waiting.discard(job)
        for branch in decoding.branches if decoding is not None else ():
            self.drop(branch)

    def by_age(self, jobs: Sequence[Job]) -> list[Job]:
        some = set(jobs)
        return [job for job in self.active if job in some]

    def open(self, job: Job, branch: TokenSequence, coming: set[bytes]) -> bool:
        """A table for a branch without one, with all that is known of its text. False: it has to wait.

        It waits for blocks that are `coming`, being read by another in this very pass. And it waits behind older jobs as long
        as it would soon be preempted: beside its own text every branch under way is to have a block to grow by.
        """
        decoding = self.active[job]
        want = len(branch.ids) + min(ANSWER, decoding.request.max_tokens)
        known = not decoding.wants_states and decoding.request.source is None and not self.pool.recurrent
        length = self.lm.config.rope_length(decoding.start, len(branch.ids))
        salt = _salt(decoding.request.adapter, length)
        table = self.pool.match(branch.ids, want, salt, length) if known else BlockTable(want, salt, length)
        fresh = digests(branch.ids[: table.length + SIZE], table.hashes, salt) if known else []
        if (fresh and fresh[0] in coming) or not self._comfortable(job, table, len(branch.ids)):
            self.pool.release(table)
            return False
        cached, prefix = max(0, table.length - decoding.virtual), self.prefix_of(decoding.request.adapter)
        if prefix is not None and table.length < prefix.tokens:
            if not self.extend(job, self.pool, table, prefix.tokens - table.length):
                self.pool.release(table)
                return False
            self.pool.write(table, prefix.layers())
        branch.table = table
        if self.draft_pool is not None and self.draft is not None:
            length = self.draft.config.rope_length(decoding.start, len(branch.ids))
            branch.draft_table = self.draft_pool.match(branch.ids, want, _salt(None, length), length)
        if decoding.cached is None:
            decoding.cached = cached
        return True

    def extend(self, job: Job, pool: KVPool, table: BlockTable, tokens: int) -> bool:
        """Place for so many more tokens, if need be from younger jobs; False: there is none."""
        while pool.extend(table, tokens) is None:
            victim = self._younger(job)
            if victim is None:
                self.waiting.add(job)
                return False
            self._preempt(victim)
        self.waiting.discard(job)
        return True

    def _comfortable(self, job: Job, table: BlockTable, tokens: int) -> bool:
        older = list(takewhile(lambda other: other is not job, self.active))
        growing = [branch for decoding in self.active.values() for branch in decoding.branches if branch.table is not None]
        crowded = self.pool.needed(table, tokens - table.length) + len(growing) >= self.pool.free
        held = any(branch.table is not None for other in older for branch in self.active[other].branches)
        if any(other in self.waiting for other in older) or (held and crowded):
            self.waiting.add(job)
            return False
        return True

    def _younger(self, job: Job) -> GenerationState | None:
        """The youngest that holds blocks and is younger than the job."""
        for other in reversed(self.active):
            if other is job:
                return None
            if any(branch.table is not None for branch in self.active[other].branches):
                return self.active[other]
        return None

    def _preempt(self, decoding: GenerationState) -> None:
        self.preempted += 1
        for branch in decoding.branches:
            self.drop(branch)
            branch.logits = branch.state = None  # guesses stay: drawing others would change the text


def _salt(adapter: str | None, rope_length: int) -> bytes:
    """What besides the tokens keys and values depend on."""
    return (adapter or "").encode() + (b"\0%d" % rope_length if rope_length else b"")


def _pool(lm: PagedModel, count: int) -> KVPool:
    return KVPool(lm.config, count, str(lm.device), lm.dtype)
