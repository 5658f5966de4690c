"""Speculative decoding by a draft model, in step with the model that verifies. Knows sequences; not how drafts are accepted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from mmgen.models.lm.paged.model import PagedModel
from mmgen.models.lm.sampling import candidates, pick
from mmgen.runners.batch_forward import SequenceChunk, read
from mmgen.runners.generation import TokenSequence
from mmgen.runners.kv_cache_manager import KVCacheManager
from mmgen.runners.sampled_sequences import SampledSequences, SamplerState

LEAP = 16
"""Tokens of a text that the draft model reads along with its first guess."""


@dataclass(eq=False)
class DraftedSequence:
    """A branch whose next tokens are guessed."""

    decoding: SampledSequences
    branch: TokenSequence
    voice: SamplerState

    @property
    def left(self) -> int:
        """Guesses still to make: the last token of an answer needs none."""
        return min(self.decoding.request.draft, self.voice.left - 1) - len(self.branch.drafts)

    @property
    def unread(self) -> list[int]:
        """What the draft model did not read of the text and its guesses."""
        assert self.branch.draft_table is not None
        return [*self.branch.ids, *self.branch.drafts][self.branch.draft_table.length :]

    def take(self, logits: Tensor) -> None:
        """The guess that follows, from (1, V): drawn as the text itself is, by numbers of its own."""
        sampling = self.decoding.request.params.sampling
        if sampling.greedy:
            self.branch.drafts.append(int(logits[0].argmax()))
            return
        drawn = candidates(logits, sampling)
        self.branch.drafts += pick(drawn, [self.voice.guesses.random()])
        self.branch.drawn_from.append(drawn.over(logits.shape[-1])[0])


class DraftLoop:
    """A few tokens guessed one after another: a loop within a quantum, each turn of it one pass over all branches.

    A branch that asks for guesses is never checked without them, so that its text does not depend on who else is there.
    """

    def __init__(self, lm: PagedModel, places: KVCacheManager, budget: int) -> None:
        self.lm, self.places, self.budget = lm, places, budget

    def guess(self, decodings: Sequence[SampledSequences]) -> set[TokenSequence]:
        """Puts drafts into branches that have but their last token to read, the oldest jobs' first.

        Returns those that are to wait: the draft model is behind in their text, or has no place for it.
        """
        wishing = [
            DraftedSequence(decoding, branch, decoding.samplers[branch])
            for decoding in decodings
            for branch in decoding.branches
            if branch.table is not None and branch.unread == 1 and not branch.drafts and decoding.drafts_due(branch)
        ]
        placed = [one for one in wishing if one.branch.draft_table is not None and self._has_place(one)]
        placed = [one for one in placed if one.branch.draft_table is not None]  # an older one may have taken it
        late = [one for one in placed if len(one.unread) > LEAP]
        self._catch_up(late)
        ready = [one for one in placed if len(one.unread) <= LEAP]
        guessing = ready
        while guessing := [one for one in guessing if one.left > 0]:
            for one, logits in zip(guessing, self._read([(one, one.unread, 1) for one in guessing]), strict=True):
                one.take(logits)
        return {one.branch for one in wishing} - {one.branch for one in ready}

    def _has_place(self, one: DraftedSequence) -> bool:
        table, pool = one.branch.draft_table, self.places.draft_pool
        assert table is not None and pool is not None
        return self.places.extend(one.decoding.job, pool, table, len(one.unread) + one.left)

    def _catch_up(self, late: Sequence[DraftedSequence]) -> None:
        """Reads on in texts that were only begun, as far as the budget goes."""
        left, parts = self.budget, []
        for one in late:
            count = min(len(one.unread) - 1, left)
            if count > 0:
                parts.append((one, one.unread[:count], 0))
                left -= count
        if parts:
            self._read(parts)

    def _read(self, parts: Sequence[tuple[DraftedSequence, list[int], int]]) -> list[Tensor]:
        """One pass of the draft model -> the logits wanted of each part."""
        pool = self.places.draft_pool
        assert pool is not None
        tables = [one.branch.draft_table for one, _, _ in parts]
        rows = [
            SequenceChunk(table, ids, wanted)
            for table, (one, ids, wanted) in zip(tables, parts, strict=True)
            if table is not None
        ]
        found = read(self.lm, pool, rows)
        for row, (one, _, _) in zip(rows, parts, strict=True):
            row.table.length += len(row.ids)
            pool.keep(row.table, one.branch.ids)
        return [part.logits for part in found]
