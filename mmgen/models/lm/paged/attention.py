"""The attention backend that reads and writes the paged KV cache (Kwon et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from mmgen.models.cpu.kernels import DecodeBatch, Kernels, fitting, readable
from mmgen.models.layers.attention import AttentionRules, attend_rows
from mmgen.models.layers.gated_delta import RecurrentState, Scan
from mmgen.models.layers.positions import Rotation
from mmgen.models.layers.sdpa import dot_product
from mmgen.models.lm.paged.block_manager import SIZE, BlockTable
from mmgen.models.lm.paged.kv_pool import KVPool, spans_of
from mmgen.models.lm.paged.pieces import attend_pieces

FEW = 16
"""Queries of a text in a pass for which its keys are not put together, on a GPU."""
TILE = 64
"""On a CPU, where our kernel does not attend, a query attends to keys up to a multiple of TILE, those behind its place masked:
then its result, to the bit, depends on its place alone, whatever was read with it in one pass."""
LONG = 4 * SIZE
"""Tokens without a gap that are worth a product of their own."""


@dataclass(frozen=True, eq=False)
class PagedSequence:
    """A text's next tokens in a pass. Its table has place for them (`KVPool.extend`); its length is still that without them."""

    table: BlockTable
    count: int


class PagedAttention:
    """Attention backend over a paged KV pool: one row (1, N) holds the next tokens of many sequences, each with its own keys.

    A text's attention is computed in its own shape whatever stands beside it. Its keys are a view of the pool where its blocks
    lie behind one another. Where they do not, few queries are multiplied with each piece where it lies, and for many the pieces
    are put together first. Made for one pass, or for several steps of a token of each text: `ahead` are those behind the first,
    for which the tables have place too.
    """

    def __init__(self, pool: KVPool, readings: Sequence[PagedSequence], ahead: int = 0) -> None:
        self.pool, self.readings, self.ahead = pool, readings, ahead
        self._states: list[tuple[BlockTable, int, RecurrentState]] = []
        self._masks: list[dict[tuple[object, ...], Tensor | None]] = [{} for _ in readings]
        self._pieces = [_pieces(spans_of(one.table, 0, one.table.length + one.count + ahead)) for one in readings]
        new = [span for one in readings for span in spans_of(one.table, one.table.length, one.table.length + one.count)]
        self._span = new[0] if len(new) == 1 else None
        if self._span is None:
            slots = [slot for start, stop in new for slot in range(start, stop)]
            self._slots = torch.tensor(slots, device=pool.keys[0].device)

    @property
    def alone(self) -> DecodeBatch | None:
        """For our kernel, if every text reads one token."""
        return self.all_rows if all(one.count == 1 for one in self.readings) else None

    @cached_property
    def all_rows(self) -> DecodeBatch:
        """For our kernel, every token of every text as a query of its own."""
        counts = [one.count for one in self.readings]
        rows = list(accumulate(counts, initial=0))
        return DecodeBatch([(rows[number], self._own(number)) for number in range(len(counts))], counts, ahead=self.ahead)

    @property
    def lengths(self) -> Tensor:
        """(N,) how long the text is by whose rotary frequencies each place is turned."""
        return torch.tensor(
            [
                max(one.table.rope_length, place + 1)
                for one in self.readings
                for place in range(one.table.length, one.table.length + one.count)
            ]
        )

    def attend(self, rules: AttentionRules, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (1, heads, N, d), new k and v (1, kv_heads, N, d) -> (1, heads, N, d)"""
        keys, values = self.pool.keys[rules.layer], self.pool.values[rules.layer]
        self._write(keys, k[0])
        self._write(values, v[0])
        if (made := self._kernels(rules, rows := q[0].transpose(0, 1).contiguous(), keys, values)) is not None:
            return made.attend(self.all_rows, rows, keys, values, rules.scale, rules.window).transpose(0, 1)[None]
        parts = q.split([one.count for one in self.readings], 2)
        return torch.cat([self._one(number, rules, part, keys, values) for number, part in enumerate(parts)], 2)

    def recur(self, layer: int, scan: Scan, x: Tensor) -> Tensor:
        """See `RecurrentBackend`: each text by itself. Its state counts once the pass is done: see `commit`."""
        parts = []
        for reading, part in zip(self.readings, x.split([one.count for one in self.readings], 1), strict=True):
            y, state = scan(part, self.pool.states.get(reading.table, {}).get(layer))
            self._states.append((reading.table, layer, state))
            parts.append(y)
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]

    def commit(self) -> None:
        """The pass is done: states are those behind what was read."""
        for table, layer, state in self._states:
            self.pool.states.setdefault(table, {})[layer] = state

    def in_one_go(self, rules: AttentionRules, q: Tensor, k: Tensor, v: Tensor, rotation: Rotation | None) -> Tensor | None:
        """`attend`, and rotation before it, where every text reads one token: (1, N, heads, d) each -> the same as q.

        None: our kernel does not do it; nothing has changed.
        """
        keys, values = self.pool.keys[rules.layer], self.pool.values[rules.layer]
        made = self._kernels(rules, q[0], keys, values)
        if made is None or self.alone is None or not readable(k[0], keys, values):
            return None
        turns = None if rotation is None else (rotation.cos[:, 0], rotation.sin[:, 0])
        return made.decode(self.alone, q[0], k[0], v[0], turns, keys, values, rules.scale, rules.window)[None]

    def _kernels(self, rules: AttentionRules, q: Tensor, keys: Tensor, values: Tensor) -> Kernels | None:
        known = rules.bias is None and rules.sparse is None and rules.chunk is None
        plain = known and rules.softcap is None and rules.sinks is None
        return fitting(q) if plain and readable(q, keys, values) else None

    def _own(self, number: int) -> list[tuple[int, int]]:
        """Where a text's keys lie."""
        return [span for piece in self._pieces[number] for span in piece]

    def _write(self, into: Tensor, new: Tensor) -> None:
        if self._span is not None:
            into[:, self._span[0] : self._span[1]] = new
        else:
            into.index_copy_(1, self._slots, new.to(into.dtype))

    def _one(self, number: int, rules: AttentionRules, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        if q.device.type == "cpu" and not torch.is_grad_enabled():
            return self._by_place(number, rules, q, keys, values)
        pieces = self._pieces[number]
        if len(pieces) == 1 or q.shape[2] > FEW:
            spans = pieces[0] if len(pieces) == 1 else [span for piece in pieces for span in piece]
            k, v = _read(keys, spans).unsqueeze(0), _read(values, spans).unsqueeze(0)  # (1, kv_heads, M, d)
            return attend_rows(rules, q, k, v, masks=self._masks[number])
        parts = [(_read(keys, piece), _read(values, piece)) for piece in pieces]
        return attend_pieces(rules, q, parts, self._mask(number, rules))

    def _by_place(self, number: int, rules: AttentionRules, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """In tiles."""
        reading, parts = self.readings[number], list[Tensor]()
        first, last = reading.table.length, reading.table.length + reading.count
        size = -(-last // TILE) * TILE
        k, v = (_filled(pool, self._own(number), last, size) for pool in (keys, values))
        for at in range(first // TILE * TILE, last, TILE):
            start, end = max(first, at), min(last, at + TILE)
            tile = q[:, :, start - first : end - first], k[:, :, : at + TILE], v[:, :, : at + TILE]
            mask = self._tile_mask(number, rules, start, end, at + TILE)
            parts.append(dot_product(*tile, mask, scale=rules.scale, softcap=rules.softcap, sinks=rules.sinks))
        return torch.cat(parts, 2) if len(parts) > 1 else parts[0]

    def _tile_mask(self, number: int, rules: AttentionRules, start: int, end: int, keys: int) -> Tensor:
        """Of queries at places `start` to `end`: bool (N, keys), or (heads, N, keys) to be added."""
        masks, key = self._masks[number], (*rules.kind, start)
        if key not in masks:
            ours, theirs = torch.arange(start, end), torch.arange(keys)
            mask, behind = rules.mask(ours, theirs), theirs > ours[:, None]
            if mask is None:
                mask = ~behind
            masks[key] = mask & ~behind if mask.dtype == torch.bool else mask.masked_fill(behind, torch.finfo(mask.dtype).min)
        return cast(Tensor, masks[key])

    def _mask(self, number: int, rules: AttentionRules) -> Tensor | None:
        masks, reading = self._masks[number], self.readings[number]
        if rules.kind not in masks:
            places = torch.arange(reading.table.length + reading.count, device=self.pool.keys[0].device)
            all_seen = reading.count == 1 and rules.plain
            masks[rules.kind] = None if all_seen else rules.mask(places[reading.table.length :], places)
        return masks[rules.kind]


def _read(pool: Tensor, spans: list[tuple[int, int]]) -> Tensor:
    """(kv_heads, M, d): a view where it is one span."""
    if len(spans) == 1:
        return pool[:, spans[0][0] : spans[0][1]]
    return torch.cat([pool[:, start:stop] for start, stop in spans], 1)


def _filled(pool: Tensor, spans: list[tuple[int, int]], length: int, size: int) -> Tensor:
    """(1, kv_heads, size, d): the first `length` places of a text, and zeros."""
    found = _read(pool, spans)[:, :length]
    return F.pad(found, (0, 0, 0, size - length))[None]


def _pieces(spans: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Long spans alone, short ones beside each other together."""
    pieces: list[list[tuple[int, int]]] = []
    for start, stop in spans:
        short = stop - start < LONG
        if short and pieces and all(high - low < LONG for low, high in pieces[-1]):
            pieces[-1].append((start, stop))
        else:
            pieces.append([(start, stop)])
    return pieces
