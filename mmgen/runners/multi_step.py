"""Multi-step decoding: several tokens of every text in one call of the model, while nobody else waits for the device.

Between two tokens of a small model Python and the scheduler take a good part of the time. What is chosen is the same, to the
bit, as with a quantum for each token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mmgen.engine.uncontended import Uncontended
from mmgen.models.lm.paged.attention import PagedAttention, PagedSequence
from mmgen.models.lm.paged.block_manager import BlockTable
from mmgen.models.lm.paged.kv_pool import KVPool
from mmgen.models.lm.paged.model import PagedModel, StepLimits
from mmgen.models.lm.sampling import DrawPlan
from mmgen.runners.generation import GenerationState, TokenSequence
from mmgen.runners.sampled_sequences import SampledSequences

MOST = 32
"""Tokens of a text in one call."""


@dataclass(frozen=True, eq=False)
class NextToken:
    """A text that has read all but its last token."""

    decoding: GenerationState
    branch: TokenSequence
    table: BlockTable


class MultiStep:
    """Of one model. Asks it no more once it said that it can only read."""

    def __init__(self, lm: PagedModel) -> None:
        self.lm, self.able = lm, True

    def decode(self, pool: KVPool, texts: Sequence[NextToken], alone: Uncontended) -> int:
        """Lets all texts go on. Returns by how many tokens each; 0: they are to be read as others are, nothing has changed."""
        if not self.able or not all(map(_is_drawn_alone, texts)):
            return 0
        most = min(MOST, *(text.decoding.samplers[text.branch].left for text in texts))  # type: ignore[attr-defined]
        if most < 2 or sum(pool.needed(text.table, most) for text in texts) > pool.free:
            return 0
        for text in texts:
            pool.extend(text.table, most)
        ids = torch.tensor([[text.branch.ids[-1] for text in texts]])
        starts = torch.tensor([text.table.length for text in texts])
        finals = {token for text in texts for token in text.decoding.samplers[text.branch].writer.ends}  # type: ignore[attr-defined]
        limits = StepLimits(most, alone.seconds, alone.stop, sorted(finals))
        paged = PagedAttention(pool, [PagedSequence(text.table, 1) for text in texts], ahead=most - 1)
        plans = [text.decoding.plan(text.branch, most) for text in texts]  # type: ignore[attr-defined]
        found = self.lm.decode(ids, paged, starts + torch.arange(most)[:, None], limits, plans)
        self.able = found is not None
        steps = [] if found is None else found.tokens if found.sound else found.tokens[:-1]
        for number, text in enumerate(texts):
            _append(pool, text, [tokens[number] for tokens in steps])
        return len(steps)


def _append(pool: KVPool, text: NextToken, tokens: Sequence[int]) -> None:
    """A bad job fails alone."""
    job, decoding = text.decoding.job, text.decoding
    assert isinstance(decoding, SampledSequences)
    try:
        if job.ended is None:
            text.table.length += decoding.append(text.branch, tokens)
            pool.keep(text.table, text.branch.ids)
            decoding.end_if_done(text.branch)
    except Exception as error:
        job.fail(error)


def _is_drawn_alone(text: NextToken) -> bool:
    """Whether its tokens depend on the model's logits alone, and nothing is asked for besides."""
    decoding, branch, request = text.decoding, text.branch, text.decoding.request
    if not isinstance(decoding, SampledSequences) or decoding.wants_prompt_logits or len(decoding.writers) < request.params.n:
        return False
    sampling = request.params.sampling
    free = DrawPlan.fits(sampling) and not sampling.adjusts and sampling.logprobs is None and request.rules is None
    free = free and request.adapter is None and not request.lookup and not request.draft and not branch.drafts
    free = free and branch.constraint is None and branch.memory is None
    return free and len(branch.ids) > decoding.start  # the first token is its prompt's to choose
