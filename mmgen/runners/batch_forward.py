"""One forward pass over the next tokens of many texts. Knows a model and its pool; not jobs or what becomes of the logits."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from mmgen.models.layers.attention import EncoderMemory
from mmgen.models.lm.block_manager import BlockTable
from mmgen.models.lm.lora import Adapters
from mmgen.models.lm.paged_attention import EncoderMemories, KVPool, PagedAttention, PagedSequence
from mmgen.models.lm.paged_model import PagedModel


@dataclass(frozen=True, eq=False)
class SequenceChunk:
    """A text in a pass. Its table has place for the tokens; its length is that without them, and stays so."""

    table: BlockTable
    ids: Sequence[int]  # the tokens to read
    wanted: int  # logits of the last so many
    memory: EncoderMemory | None = None
    adapter: str | None = None


@dataclass(frozen=True, eq=False)
class ChunkOutput:
    """What came of a part."""

    logits: Tensor  # (wanted, V)
    states: Tensor  # (tokens, D)


def read(lm: PagedModel, pool: KVPool, parts: Sequence[SequenceChunk], adapters: Adapters | None = None) -> list[ChunkOutput]:
    """All parts in one row (1, N), each through its adapter; logits are computed for those who want them alone."""
    device = pool.keys[0].device
    ids = torch.tensor([[token for part in parts for token in part.ids]], device=device)
    positions = torch.tensor([at for part in parts for at in _places(part)], device=device)
    paged = PagedAttention(pool, [PagedSequence(part.table, len(part.ids)) for part in parts])
    memories = [(part.memory, len(part.ids)) for part in parts if part.memory is not None]
    more = {"memory": EncoderMemories(memories)} if memories else {}
    ends = accumulate(len(part.ids) for part in parts)
    last = [at for part, end in zip(parts, ends, strict=True) for at in range(end - part.wanted, end)]
    with nullcontext() if adapters is None else adapters.use(_rows(parts, adapters, device)):
        states, logits = lm.read(ids, paged, positions, torch.tensor(last, dtype=torch.long, device=device), **more)
    texts, rows = states.split([len(part.ids) for part in parts]), logits.split([part.wanted for part in parts])
    return [ChunkOutput(row, text) for row, text in zip(rows, texts, strict=True)]


def _rows(parts: Sequence[SequenceChunk], adapters: Adapters, device: torch.device) -> Tensor | str | None:
    """Whose place is whose adapter's, as `Adapters.use` takes it."""
    names = {part.adapter for part in parts}
    if len(names) == 1:
        return names.pop()
    numbers = [adapters.numbers.get(part.adapter or "", -1) for part in parts for _ in part.ids]
    return torch.tensor([numbers], device=device)


def _places(part: SequenceChunk) -> range:
    return range(part.table.length, part.table.length + len(part.ids))
