"""A language model step by step: one decode token of every sequence and chunks of prefill in one forward pass.

Knows which tokens are read when; not how they are chosen (sampled_sequences.py, search_sequences.py) or which KV blocks hold
their keys and values (kv_cache_manager.py).

Continuous batching (Orca, Yu et al. 2022) with chunked prefill (Sarathi-Serve, Agrawal et al. 2024): a quantum reads one token
of every text under way, and then prompts as far as the budget of tokens goes. Where blocks run short the youngest job gives its
own back, and reads all it had again later (Kwon et al. 2023, sec. 4.5: recomputation).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import torch

from mmgen.engine.fault_isolation import apart
from mmgen.engine.job import Job
from mmgen.engine.scheduling.cost_model import Estimate
from mmgen.engine.uncontended import Uncontended
from mmgen.errors import BadRequest, TooLarge
from mmgen.models.layers.attention import EncoderMemory
from mmgen.models.lm.adapters.prefix_tuning import Prefix
from mmgen.models.lm.lora import Adapters
from mmgen.models.lm.paged.block_manager import SIZE, BlockTable, digests
from mmgen.models.lm.paged.model import PagedModel
from mmgen.models.transformers_backend.own_cache import OwnCacheLM
from mmgen.runners import progress
from mmgen.runners.batch_forward import ChunkOutput, SequenceChunk, read
from mmgen.runners.decode_graphs import DecodeGraphs
from mmgen.runners.draft_model import DraftLoop
from mmgen.runners.generation import GenerationState, TextRequest, TokenSequence, Vocabulary, check
from mmgen.runners.kv_cache_manager import KVCacheManager
from mmgen.runners.multi_step import MultiStep, NextToken
from mmgen.runners.roofline import milliseconds
from mmgen.runners.sampled_sequences import SampledSequences
from mmgen.runners.search_sequences import ContrastiveSequences

SCORED = 64
"""Tokens of a prompt that are read at once where their log-probabilities are asked for: logits over 150,000 words are 38 MB."""
GUESSES = 32
"""Tokens of a pass, over all texts, that may be guesses from what repeats."""


@dataclass(frozen=True, eq=False)
class SequenceRow:
    """A branch in a pass."""

    job: Job
    branch: TokenSequence
    table: BlockTable  # the branch's when this was planned
    count: int  # tokens that are read, guesses included
    wanted: int  # logits of the last so many: none while tokens stay unread
    scored: bool = False  # part of a prompt whose log-probabilities are asked for: all logits are wanted

    def part(self) -> SequenceChunk:
        start, branch = self.table.length, self.branch
        ids = [*branch.ids[start : start + self.count], *branch.drafts][: self.count]
        states = isinstance(self.job.state, ContrastiveSequences)
        return SequenceChunk(self.table, ids, self.wanted, branch.memory, self.job.payload.adapter, states)


class TextRunner:
    """One model, and a draft model where there is one. Jobs of any settings share its passes."""

    kind, streams, work, unit = "kv", True, "text", "tokens"

    def __init__(
        self,
        lm: PagedModel,
        vocabulary: Vocabulary,
        *,
        memory: int,
        budget: int | None = None,
        draft: PagedModel | None = None,
        adapters: Adapters | None = None,
    ) -> None:
        """
        Args:
            memory: bytes of keys and values, of the draft model's too.
            budget: tokens a quantum; None: about a tenth of a second on two cores, 2048 elsewhere.
            draft: a smaller model with the same vocabulary.
            adapters: of the model; a request may name one of them.

        Raises BadRequest for a draft model with another vocabulary, or where one of them has recurrent layers.
        """
        if draft is not None and draft.config.vocab_size != lm.config.vocab_size:
            theirs, ours = draft.config.vocab_size, lm.config.vocab_size
            raise BadRequest(f"the draft model knows {theirs} tokens, the model {ours}; take a draft of the same family")
        if draft is not None and (lm.config.state_bytes or draft.config.state_bytes):
            raise BadRequest("recurrent layers cannot step back behind a wrong guess; leave the draft model out")
        self.lm, self.vocabulary, self.adapters = lm, vocabulary, adapters
        self.device = lm.device
        self.parameters = sum(parameter.numel() for parameter in lm.parameters())
        self.prompt_tokens = self.cached_tokens = 0  # of jobs that ended
        self.budget = usual_budget(lm) if budget is None else budget
        self.places = KVCacheManager(lm, draft, memory, self.prefix_of)
        self.drafting = None if draft is None else DraftLoop(draft, self.places, self.budget)
        self.uncontended: Uncontended | None = None  # the engine, before each step
        self.multi_step = MultiStep(lm)
        self.graphs = DecodeGraphs.of(lm)

    def exchange(self, lm: PagedModel) -> None:
        """Runs a model of the same shape with other weights from now on, and forgets what the last one read.

        On the device's thread, while no job is under way and without a draft model or adapters.
        """
        assert self.drafting is None and self.adapters is None
        self.places.away()
        self.lm = self.places.lm = lm
        self.multi_step = MultiStep(lm)
        self.graphs = DecodeGraphs.of(lm)
        self.places.back()

    def prefix_of(self, adapter: str | None) -> Prefix | None:
        """The keys and values that stand before an adapter's texts."""
        return None if self.adapters is None or adapter is None else self.adapters.prefixes.get(adapter)

    def _virtual(self, request: TextRequest) -> int:
        """Places that an adapter takes before the prompt."""
        prefix = self.prefix_of(request.adapter)
        return 0 if prefix is None else prefix.tokens

    def key(self, job: Job) -> Hashable:
        return "text"

    def estimate(self, job: Job) -> Estimate:
        """Chunks of its prompt, and a quantum a token. A pass reads every weight, and uses it once for every token."""
        request: TextRequest = job.payload
        chunks = -(-len(request.prompt) // self.budget)
        return Estimate(chunks + request.max_tokens, milliseconds(self.parameters, self.parameters, self.device))

    def counters(self) -> dict[str, float]:
        """What is counted over all jobs so far."""
        told = {"prompt tokens": self.prompt_tokens, "cached prompt tokens": self.cached_tokens}
        return {**told, "preemptions": self.places.preempted}

    def reserve(self, job: Job) -> int:
        """Bytes of its keys and values at full length. Raises BadRequest, TooLong or TooLarge with the numbers."""
        request: TextRequest = job.payload
        virtual = self._virtual(request)
        check(request, self.lm.config.max_tokens - virtual)
        if request.adapter is not None and (self.adapters is None or request.adapter not in self.adapters.numbers):
            raise BadRequest(f"there is no adapter {request.adapter!r}; load it first")
        if request.draft and self.drafting is None:
            raise BadRequest("there is no draft model to guess with; name one, or guess from what repeats")
        if request.lookup and self.lm.config.state_bytes:
            raise BadRequest("this model's recurrent layers cannot step back behind a wrong guess; leave out lookup")
        states = request.branches * self.lm.config.state_bytes
        prompt, answer = (-(-tokens // SIZE) for tokens in (virtual + len(request.prompt), request.max_tokens))
        blocks, block_bytes = prompt + request.branches * (answer + 2), self.places.block_bytes
        if blocks > self.places.count:
            raise TooLarge(
                f"{len(request.prompt)} tokens of prompt and {request.branches} x {request.max_tokens} of answer need "
                f"{blocks * block_bytes:,} bytes of keys and values, there are {self.places.count * block_bytes:,}; "
                "ask for fewer tokens or texts"
            )
        return blocks * block_bytes + states + len(request.source or ()) * self.lm.kv_bytes_per_token

    def release(self, job: Job) -> None:
        if isinstance(job.state, GenerationState):
            self.prompt_tokens += len(job.payload.prompt)
            self.cached_tokens += job.state.cached or 0
        self.places.leave(job)
        job.state = None

    @torch.inference_mode()
    def step(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            job.rounds = 1
        begun = [job for job in jobs if self._begin(job)]
        for job in begun:
            self.places.renew(job)
        late = self._guess(begun)
        rows = self._plan([job for job in begun if job.ended is None], late)
        for job in begun:
            job.units = 0
        for row in rows:
            row.job.units += row.count
        if rows and not self._decode(rows):
            self._pass(rows)

    def _begin(self, job: Job) -> bool:
        if job not in self.places.active:
            try:
                decoding = progress.DECODINGS[job.payload.params.strategy](job, self.vocabulary, self.places)
                decoding.branches[0].memory = self._encoded(job.payload)
                decoding.begin_behind(self._virtual(job.payload))
                job.state = self.places.active[job] = decoding
            except Exception as error:
                job.fail(error)
        return job.ended is None

    def _encoded(self, request: TextRequest) -> EncoderMemory | None:
        """What the encoder of an encoder-decoder makes of the source, in one go."""
        if request.source is None:
            return None
        return self.lm.encode(torch.tensor([list(request.source)], device=self.device))

    def _guess(self, jobs: Sequence[Job]) -> set[TokenSequence]:
        """Guesses wherever they are asked for. Returns the branches whose guesses are not ready, which have to wait."""
        drawn = [one for job in self.places.by_age(jobs) if isinstance(one := job.state, SampledSequences)]
        for decoding in drawn:
            decoding.look_up(GUESSES // max(1, sum(len(other.branches) for other in drawn)))
        if self.drafting is None:
            return set()
        try:
            return self.drafting.guess(drawn)
        except Exception as error:
            for decoding in drawn:  # they cannot be told apart any more: guesses were made in part
                if decoding.request.draft:
                    decoding.job.fail(error)
            return set()

    def _plan(self, jobs: Sequence[Job], late: set[TokenSequence]) -> list[SequenceRow]:
        """Who reads what in this quantum. A job that could read nothing for want of blocks is told to wait."""
        rows = [row for job in self.places.by_age(jobs) for row in self._next_tokens(job, late)]
        left, coming = max(self.budget - sum(row.count for row in rows), SIZE), set[bytes]()
        for job in jobs:
            for row in self._chunks(job, left, coming):
                rows.append(row)
                left -= row.count
        rows = [row for row in rows if row.branch.table is row.table]  # an older job may have taken a younger one's blocks
        reading = {row.job for row in rows}
        for job in jobs:
            job.waits = job in self.places.waiting and job not in reading
        return rows

    def _next_tokens(self, job: Job, late: set[TokenSequence]) -> Iterator[SequenceRow]:
        """Branches that have read all but their last token."""
        for branch in job.state.branches:
            if branch.table is not None and branch.unread == 1 and branch.logits is None and branch not in late:
                branch.keep_drafts(self.lm.config.rope_room(len(branch.ids)))
                count = 1 + len(branch.drafts)
                if self.places.extend(job, self.places.pool, branch.table, count):
                    yield SequenceRow(job, branch, branch.table, count, count)

    def _chunks(self, job: Job, left: int, coming: set[bytes]) -> Iterator[SequenceRow]:
        """Branches that have more to read: a prompt, or all there was before an interruption."""
        for branch in job.state.branches:
            begun = branch.table is not None
            if left <= 0 or (begun and branch.unread <= 1) or not (begun or self.places.open(job, branch, coming)):
                continue
            assert branch.table is not None
            guessed = bool(branch.drafts) or (isinstance(job.state, SampledSequences) and job.state.drafts_due(branch))
            scored = job.state.wants_prompt_logits
            most = min(left, SCORED) if scored else left
            count = min(branch.unread - guessed, most)  # guesses are checked along with the last token
            if count and self.places.extend(job, self.places.pool, branch.table, count):
                coming.update(digests(branch.ids[: branch.table.length + count], branch.table.hashes, branch.table.salt))
                left -= count
                wanted = count if scored else int(count == branch.unread)
                yield SequenceRow(job, branch, branch.table, count, wanted, scored)

    def _decode(self, rows: Sequence[SequenceRow]) -> bool:
        """Several tokens of each text at once, while nobody else waits. False: nothing has changed."""
        if self.uncontended is None or self.adapters is not None or any(row.count > 1 or row.branch.unread > 1 for row in rows):
            return False
        texts = [NextToken(row.job.state, row.branch, row.table) for row in rows]
        jobs, count = dict.fromkeys(row.job for row in rows), self.multi_step.decode(self.places.pool, texts, self.uncontended)
        for job in jobs if count else ():
            job.units, job.rounds = job.units * count, count
        progress.finish(list(jobs) if count else [])
        return count > 0

    def _pass(self, rows: Sequence[SequenceRow]) -> None:
        """Reads, and lets every job go on; if the pass fails, each job's part alone, so that the bad job fails alone."""
        jobs = list(dict.fromkeys(row.job for row in rows))
        try:
            found = self._read([row.part() for row in rows])
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].fail(error)
                return
            for some in apart(jobs, error):  # nothing counts as read yet, so that it can be read again
                self._pass([row for row in rows if row.job in some])
            return
        for row, one in zip(rows, found, strict=True):
            self._took(row, one)
        self._go_on(jobs)

    def _read(self, parts: Sequence[SequenceChunk]) -> list[ChunkOutput]:
        pool, found = self.places.pool, None
        if self.graphs is not None and self.adapters is None:
            found = self.graphs.read(pool, parts, lambda: read(self.lm, pool, parts))
        return read(self.lm, pool, parts, self.adapters) if found is None else found

    def _took(self, row: SequenceRow, one: ChunkOutput) -> None:
        """The branch's tokens are read."""
        branch, decoding, table = row.branch, row.job.state, row.table
        if isinstance(decoding, ContrastiveSequences):
            if decoding.wants_states:
                decoding.collect(table.length - decoding.virtual, one.states)
            branch.state = one.states[-1]
        if row.scored:
            decoding.read_prompt(table.length - decoding.virtual, one.logits)
        table.length += row.count
        if branch.memory is None:  # otherwise the same tokens have other keys and values in every job
            self.places.pool.keep(table, branch.ids)
        if row.wanted and branch.unread <= 0:  # guesses are read beyond its tokens
            branch.logits = one.logits[-1:] if row.scored else one.logits

    def _go_on(self, jobs: Sequence[Job]) -> None:
        for turn in progress.choose(jobs):
            self.places.cut(turn.branch)
        progress.finish(jobs)


def usual_budget(lm: PagedModel | OwnCacheLM) -> int:
    """Tokens a quantum: what two cores multiply in about a tenth of a second; a GPU takes more to be busy."""
    if lm.device.type != "cpu":
        return 2048
    return max(64, min(1024, 10**10 // sum(parameter.numel() for parameter in lm.parameters())))
