"""The blocks of the paged KV cache: keys and values of every layer, and where a text's tokens lie in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from mmgen.models.layers.gated_delta import RecurrentState
from mmgen.models.lm.paged.block_manager import SIZE, BlockManager, BlockTable
from mmgen.models.transformer_config import KVLayer

IDLE_BYTES = 2**30
"""Keys and values that texts leave behind for others that begin alike, on a CPU: memory is taken as it is written to."""


class CachedShape(Protocol):
    """A model's configuration, as far as the pool needs it."""

    @property
    def kv_layers(self) -> Sequence[KVLayer]: ...  # what a token leaves in each layer
    @property
    def state_bytes(self) -> int: ...  # what a text leaves in layers that keep a state instead; 0: there are none


class KVPool(BlockManager):
    """The blocks themselves: a tensor of keys and one of values a layer, (kv_heads, tokens, d). Memory is used once written.

    Layers without keys and values keep a state of each table's text. A state is that of one length, so such texts share none.
    """

    def __init__(self, config: CachedShape, count: int, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        shapes = [((one.heads, count * SIZE, one.key), (one.heads, count * SIZE, one.value)) for one in config.kv_layers]
        token = sum(one.heads * (one.key + one.value) for one in config.kv_layers) * dtype.itemsize
        super().__init__(count, IDLE_BYTES // (SIZE * token) if device == "cpu" and token else None)
        self.keys = [torch.empty(key, device=device, dtype=dtype) for key, _ in shapes]
        self.values = [torch.empty(value, device=device, dtype=dtype) for _, value in shapes]
        self.recurrent = config.state_bytes > 0
        self.states: dict[BlockTable, dict[int, RecurrentState]] = {}  # by layer; a state is replaced, never written to

    def extend(self, table: BlockTable, tokens: int) -> list[tuple[int, int]] | None:
        copies = super().extend(table, tokens)
        for old, new in copies or ():
            for layer in (*self.keys, *self.values):
                layer[:, new * SIZE : (new + 1) * SIZE] = layer[:, old * SIZE : (old + 1) * SIZE]
        return copies

    def match(self, ids: Sequence[int], want: int = 0, salt: bytes = b"", rope_length: int = 0) -> BlockTable:
        return BlockTable(want, salt, rope_length) if self.recurrent else super().match(ids, want, salt, rope_length)

    def keep(self, table: BlockTable, ids: Sequence[int]) -> None:
        if not self.recurrent:
            super().keep(table, ids)

    def fork(self, table: BlockTable, want: int = 0) -> BlockTable:
        twin = super().fork(table, want)
        if table in self.states:
            self.states[twin] = dict(self.states[table])
        return twin

    def release(self, table: BlockTable) -> None:
        super().release(table)
        self.states.pop(table, None)

    def write(self, table: BlockTable, layers: Tensor) -> None:
        """Puts keys and values, (layers, 2, kv_heads, P, d), into the table's first places; of those it has not already."""
        first, count = table.length, layers.shape[3]
        at = first
        for start, stop in spans_of(table, first, count):
            part = slice(at, at + stop - start)
            for number, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
                keys[:, start:stop], values[:, start:stop] = layers[number, 0, :, part], layers[number, 1, :, part]
            at += stop - start
        table.length = count


def spans_of(table: BlockTable, start: int, stop: int) -> list[tuple[int, int]]:
    """Where in the pool the table's tokens from `start` to `stop` have their place, as spans without gaps."""
    spans, at = [], 0
    for first, count in table.runs:
        low, high = max(start, at), min(stop, at + count * SIZE)
        if low < high:
            spans.append((first * SIZE + low - at, first * SIZE + high - at))
        at += count * SIZE
    return spans
