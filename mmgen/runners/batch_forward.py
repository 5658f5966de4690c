"""One forward pass over the next tokens of many sequences: prefill chunks and decode tokens packed into one row."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from mmgen.models.layers.attention import EncoderMemory
from mmgen.models.lm.lora import Adapters
from mmgen.models.lm.paged.attention import PagedAttention, PagedSequence
from mmgen.models.lm.paged.block_manager import BlockTable
from mmgen.models.lm.paged.encoder_memory import EncoderMemories
from mmgen.models.lm.paged.kv_pool import KVPool
from mmgen.models.lm.paged.model import PagedModel


@dataclass(frozen=True, eq=False)
class SequenceChunk:
    """A sequence's part of a forward pass."""

    table: BlockTable  # has free slots for the new tokens; the caller adds them to its length after the pass
    ids: Sequence[int]  # the new tokens
    wanted: int  # how many of them, counted from the last, get logits
    memory: EncoderMemory | None = None  # an encoder-decoder's encoder states
    adapter: str | None = None  # name of the LoRA adapter
    states: bool = False  # whether hidden states are asked for


@dataclass(frozen=True, eq=False)
class ChunkOutput:
    """A chunk's part of the outputs."""

    logits: Tensor  # (wanted, V)
    states: Tensor  # (N, D) hidden states of its N tokens, where they were asked for


def read(lm: PagedModel, pool: KVPool, parts: Sequence[SequenceChunk], adapters: Adapters | None = None) -> list[ChunkOutput]:
    """All chunks as one row without padding, each through its adapter. The head runs on the wanted tokens only."""
    device = pool.keys[0].device
    ids = torch.tensor([[token for part in parts for token in part.ids]], device=device)
    positions = torch.tensor([position for part in parts for position in _positions(part)], device=device)
    paged = PagedAttention(pool, [PagedSequence(part.table, len(part.ids)) for part in parts])
    memories = [(part.memory, len(part.ids)) for part in parts if part.memory is not None]
    more = {"memory": EncoderMemories(memories)} if memories else {}
    ends = accumulate(len(part.ids) for part in parts)
    last = [index for part, end in zip(parts, ends, strict=True) for index in range(end - part.wanted, end)]
    wanted = torch.tensor(last, dtype=torch.long, device=device)
    with nullcontext() if adapters is None else adapters.use(_rows(parts, adapters, device), wanted):
        asked = any(part.states for part in parts)
        states, logits = lm.read(ids, paged, positions, wanted, asked, **more)
    paged.commit()
    if len(parts) == 1:
        return [ChunkOutput(logits, states)]
    own_states = states.split([len(part.ids) if len(states) else 0 for part in parts])
    own_logits = logits.split([part.wanted for part in parts])
    return [ChunkOutput(*own) for own in zip(own_logits, own_states, strict=True)]


def _rows(parts: Sequence[SequenceChunk], adapters: Adapters, device: torch.device) -> Tensor | str | None:
    """Each token's adapter, in the form of `Adapters.use`: one name for all, or (1, N) numbers, -1 for none."""
    names = {part.adapter for part in parts}
    if len(names) == 1:
        return names.pop()
    numbers = [adapters.numbers.get(part.adapter or "", -1) for part in parts for _ in part.ids]
    return torch.tensor([numbers], device=device)


def _positions(part: SequenceChunk) -> range:
    return range(part.table.length, part.table.length + len(part.ids))
