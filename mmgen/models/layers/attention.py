"""Multi-head attention: projections, each layer's rules (causal, window, bias), and the backends that carry it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from mmgen.models.cpu.batch_invariant import sigmoid
from mmgen.models.cpu.linear import Linear
from mmgen.models.layers import flex_attention
from mmgen.models.layers.gated_delta import Scan
from mmgen.models.layers.kv_cache import GrowingCache
from mmgen.models.layers.masks import BlockSparseMask, narrowed
from mmgen.models.layers.norms import qk_norm
from mmgen.models.layers.positions import Rotation
from mmgen.models.layers.sdpa import dot_product
from mmgen.models.transformer_config import TransformerConfig

Bias = Callable[[Tensor, Tensor], Tensor]
"""(N,) positions of queries, (M,) of keys -> (heads, N, M), added to the scores."""
Masks = dict[tuple[object, ...], "Tensor | None"]
"""Masks of one pass, by the layers' kind."""


@dataclass(frozen=True)
class AttentionRules:
    """How one layer attends."""

    layer: int
    causal: bool = False
    window: int | None = None  # how many last keys a query sees, itself included
    scale: float = 1.0
    softcap: float | None = None
    bias: Bias | None = None
    sparse: BlockSparseMask | None = None
    chunk: int | None = None  # a query sees keys of its own chunk of so many places, as in Llama 4
    sinks: Tensor | None = None  # (heads,): a score beside each query's own that takes weight and gives nothing, see sdpa.py

    @classmethod
    def of(cls, config: TransformerConfig, layer: int, bias: Bias | None = None) -> AttentionRules:
        sparse = (
            BlockSparseMask(config.sparse_block, config.sparse_local, config.sparse_global) if config.sparse_block else None
        )
        return cls(layer, config.causal, config.window_of(layer), config.score_scale, config.softcap, bias, sparse)

    @property
    def kind(self) -> tuple[object, ...]:
        """Layers of one kind have the same mask."""
        return self.causal, self.window, self.bias, self.sparse, self.chunk

    @property
    def plain(self) -> bool:
        """Whether a query sees all keys up to its own place, and nothing is added to their scores."""
        return self.window is None and self.chunk is None and self.bias is None and self.sparse is None

    def mask(self, q_positions: Tensor, k_positions: Tensor) -> Tensor | None:
        """(N,), (M,) positions -> who may see whom: bool (N, M), or (heads, N, M) to be added; None: all see all."""
        seen = narrowed(q_positions, k_positions, self.causal, self.window, self.sparse, self.chunk)
        if self.bias is None:
            return seen
        bias = self.bias(q_positions, k_positions)
        return bias if seen is None else bias.masked_fill(~seen, torch.finfo(bias.dtype).min)


@runtime_checkable
class AttentionBackend(Protocol):
    """An attention backend passed instead of a mask; it owns its KV cache. One long row (1, N) may hold many sequences."""

    def attend(self, rules: AttentionRules, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (1, heads, N, d), new k and v (1, kv_heads, N, d), rotated already -> (1, heads, N, d)

        An attribute `lengths`, (N,), may give the sequence length at each position: dynamic and longrope rotary need it. A
        method `in_one_go` may rotate and attend (B, N, heads, d) at once; None where it cannot.
        """
        ...


@dataclass(frozen=True)
class PackedPass:
    """How the rows of a pass attend: sequences one behind another, each to itself and to rows of an earlier pass."""

    counts: Sequence[int]  # rows of each sequence
    past: Sequence[tuple[int, int]]  # of each, where its earlier rows begin, and how many they are
    causal: bool = False  # whether a row sees its sequence up to itself, whatever the layers' rules say
    states: Tensor | None = None  # (layers, rows, 3 heads d) of the earlier pass

    @classmethod
    def of(cls, counts: Sequence[int]) -> PackedPass:
        return cls(counts, [(0, 0)] * len(counts))


@runtime_checkable
class PackingBackend(Protocol):
    """An attention backend that can say how its rows attend, so that all layers can be computed in one call."""

    keeps: bool  # whether it is given the queries, keys and values of the pass

    def packed(self, x: Tensor) -> PackedPass | None:
        """Of (B, N, D); None: it cannot be said so."""
        ...

    def keep(self, states: Tensor) -> None:
        """(layers, B N, 3 heads d)"""
        ...


@dataclass(frozen=True)
class VarlenAttention:
    """Backend for variable-length rows packed into one, without padding; each row attends to itself only.

    A row's attention has the same shape, and gives the same bits, whatever else is in the batch.
    """

    runs: tuple[tuple[int, int], ...]  # neighbours of equal length: how many, how long
    keeps: ClassVar[bool] = False

    @classmethod
    def of(cls, lengths: Sequence[int]) -> VarlenAttention:
        return cls(tuple((len(list(run)), length) for length, run in groupby(lengths)))

    @property
    def lengths(self) -> Tensor:
        """(N,) of each place's row."""
        return torch.tensor([length for count, length in self.runs for _ in range(count * length)])

    def attend(self, rules: AttentionRules, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(1, heads, N, d) -> (1, heads, N, d); N is the sum of all lengths."""
        parts, at = [], 0
        for count, length in self.runs:
            run = slice(at, at + count * length)
            q_, k_, v_ = (x[0, :, run].unflatten(1, (count, length)).transpose(0, 1) for x in (q, k, v))
            y = attend_rows(rules, q_, k_, v_)  # (count, heads, length, d)
            parts.append(y.transpose(1, 2).flatten(0, 1))
            at = run.stop
        return torch.cat(parts).transpose(0, 1)[None]

    def packed(self, x: Tensor) -> PackedPass:
        return PackedPass.of([length for count, length in self.runs for _ in range(count)])

    def keep(self, states: Tensor) -> None: ...

    def recur(self, layer: int, scan: Scan, x: Tensor) -> Tensor:
        """See `RecurrentBackend`."""
        runs = x[0].split([count * length for count, length in self.runs])
        parts = [scan(run.unflatten(0, one), None)[0].flatten(0, 1) for run, one in zip(runs, self.runs, strict=True)]
        return torch.cat(parts)[None]


class PaddedAttention:
    """Backend for padded rows (B, N) with one mask and a growing KV cache. Made for one forward pass."""

    keeps = False

    def __init__(self, mask: Tensor | None = None, cache: GrowingCache | None = None) -> None:
        self.given, self.cache = mask, cache
        self.masks: Masks = {}  # layers of one kind share a mask

    def attend(self, rules: AttentionRules, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B, heads, N, d), new (B, kv_heads, N, d) -> (B, heads, N, d)"""
        if self.cache is not None:
            k, v = self.cache.extend(rules.layer, k, v)
        if self.given is None:
            return attend_rows(rules, q, k, v, masks=self.masks)
        given = self.given
        mask = _once(rules, self.masks, lambda: _within(rules.mask(*_places(q, k)), given))
        return dot_product(q, k, v, mask, scale=rules.scale, softcap=rules.softcap, sinks=rules.sinks)

    def packed(self, x: Tensor) -> PackedPass | None:
        return PackedPass.of([x.shape[1]] * len(x)) if self.given is None and self.cache is None else None

    def keep(self, states: Tensor) -> None: ...

    def recur(self, layer: int, scan: Scan, x: Tensor) -> Tensor:
        """See `RecurrentBackend`; every place is read, in order."""
        assert self.given is None, "a recurrent layer knows no mask"
        y, state = scan(x, None if self.cache is None else self.cache.states.get(layer))
        if self.cache is not None and not self.cache.frozen:
            self.cache.states[layer] = state
        return y


def _once(rules: AttentionRules, masks: Masks | None, make: Callable[[], Tensor | None]) -> Tensor | None:
    """A pass's mask for layers of one kind, made once; or for each where gradients go through a learned bias, so that
    activation checkpointing finds a layer the same the second time."""
    if masks is None or (rules.bias is not None and torch.is_grad_enabled()):
        return make()
    if rules.kind not in masks:
        masks[rules.kind] = make()
    return masks[rules.kind]


def _within(mask: Tensor | None, given: Tensor) -> Tensor:
    """What a bool mask leaves of what the rules allow; broadcasts to (B, heads, N, M)."""
    if mask is None:
        return given
    return mask & given if mask.dtype == torch.bool else mask.masked_fill(~given, torch.finfo(mask.dtype).min)


def attend_rows(
    rules: AttentionRules,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_positions: Tensor | None = None,
    k_positions: Tensor | None = None,
    masks: Masks | None = None,
) -> Tensor:
    """One request's queries over all its keys, or rows of one length: the plain computation by a layer's rules.

    Args:
        q: (B, heads, N, d).
        k, v: (B, kv_heads, M, d) in the order of their positions, the queries' own last; kv_heads divides heads.
        q_positions, k_positions: (N,), (M,); None: N last and M places without a gap.
        masks: keeps a mask for the other layers of the pass.

    Returns: (B, heads, N, d)
    """
    length, keys = q.shape[2], k.shape[2]
    if rules.bias is None and rules.sparse is None:
        if length == 1 and rules.causal:
            first = max(keys - (rules.window or keys), (keys - 1) // rules.chunk * rules.chunk if rules.chunk else 0)
            k, v = k[:, :, first:], v[:, :, first:]
            return dot_product(q, k, v, scale=rules.scale, softcap=rules.softcap, sinks=rules.sinks)
        if min(rules.window or keys, rules.chunk or keys) >= keys and (length == keys or not rules.causal):
            return dot_product(q, k, v, causal=rules.causal, scale=rules.scale, softcap=rules.softcap, sinks=rules.sinks)
    added = (rules.bias, rules.softcap, rules.chunk, rules.sinks)
    if rules.sparse is not None and length == keys and flex_attention.fits(added, q):
        return flex_attention.attend(rules.sparse, rules.causal, rules.window, q, k, v, rules.scale)

    def make() -> Tensor | None:
        ours, theirs = _places(q, k)
        return rules.mask(ours if q_positions is None else q_positions, theirs if k_positions is None else k_positions)

    return dot_product(q, k, v, _once(rules, masks, make), scale=rules.scale, softcap=rules.softcap, sinks=rules.sinks)


def _places(q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """Places of queries and keys, the queries the last of them."""
    places = torch.arange(k.shape[2], device=q.device)
    return places[k.shape[2] - q.shape[2] :], places


class Attention(nn.Module):
    """A layer's self-attention: its projections, and the rules by which it attends."""

    def __init__(self, config: TransformerConfig, layer: int, bias: Bias | None = None) -> None:
        super().__init__()
        self.rules = AttentionRules.of(config, layer, bias)
        self.sinks = nn.Parameter(torch.zeros(config.heads)) if config.sinks else None
        self.rotates, self.late, self.gated = config.rotates(layer), config.qk_norm_late, config.attention_gate
        self.sizes, self.head = (config.heads, config.kv_heads), config.head_size
        rows = (config.heads * (1 + self.gated) + 2 * config.kv_heads) * config.head_size
        self.qkv = Linear(config.hidden_size, rows, bias=config.qkv_bias)
        self.out = Linear(config.heads * config.head_size, config.hidden_size, bias=config.out_bias)
        self.query_norm, self.key_norm = qk_norm(config, config.heads), qk_norm(config, config.kv_heads)

    def forward(self, x: Tensor, attending: AttentionBackend, rotation: Rotation | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D)"""
        heads, groups = self.sizes
        qkv, gate = self.qkv(x), None
        if self.gated:
            qkv, gate = self._gate(qkv)
        qkv = qkv.unflatten(-1, (heads + 2 * groups, self.head))
        q, k, v = qkv.split((heads, groups, groups), 2)  # each (B, N, heads, d)
        rotation = rotation if self.rotates else None
        if rotation is not None and (self.late or rotation.interleaved or rotation.query_scale is not None):
            q, k = self._turned(q, k, rotation)
            rotation = None
        elif self.query_norm is not None and self.key_norm is not None:
            q, k = self.query_norm(q), self.key_norm(k)
        rules = self.rules if self.sinks is None else replace(self.rules, sinks=self.sinks)
        in_one_go = getattr(attending, "in_one_go", None)
        if in_one_go is not None and (y := in_one_go(rules, q, k, v, rotation)) is not None:
            return self._out(y.flatten(2), gate)
        if rotation is not None and self.query_norm is None:
            q, k = rotation.turn(qkv[:, :, : heads + groups]).split((heads, groups), 2)
        elif rotation is not None:
            q, k = rotation.turn(q), rotation.turn(k)
        y = attending.attend(rules, q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return self._out(y.transpose(1, 2).flatten(2), gate)

    def _gate(self, qkv: Tensor) -> tuple[Tensor, Tensor]:
        """A gate lies behind each head's query -> all without gates, and gates (B, N, heads * d)."""
        queries, rest = qkv.tensor_split((2 * self.sizes[0] * self.head,), -1)
        q, gate = queries.unflatten(-1, (self.sizes[0], 2, self.head)).unbind(-2)
        return torch.cat((q.flatten(-2), rest), -1), gate.flatten(-2)

    def _out(self, y: Tensor, gate: Tensor | None) -> Tensor:
        return self.out(y if gate is None else y * sigmoid(gate))  # type: ignore[no-any-return]

    def _turned(self, q: Tensor, k: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        """Queries and keys normalised and rotated, where the kernels do not know the order or the kind of it."""
        norms = (self.query_norm, self.key_norm)
        if norms[0] is not None and norms[1] is not None and not self.late:
            q, k = norms[0](q), norms[1](k)
        q, k = rotation.turn(q), rotation.turn(k)
        if norms[0] is not None and norms[1] is not None and self.late:
            q, k = norms[0](q), norms[1](k)
        return q if rotation.query_scale is None else q * rotation.query_scale.to(q.dtype), k


class EncoderMemory:
    """What a decoder reads beside its own text: an encoder's states. Every layer's keys and values are made once."""

    def __init__(self, states: Tensor, mask: Tensor | None = None) -> None:
        self.states, self.mask = states, mask  # (B or 1, M, D); bool, broadcast to (B, heads, N, M)
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}

    def attend(self, rules: AttentionRules, q: Tensor, keys_values: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
        """(B, heads, N, d) -> (B, heads, N, d); `keys_values`: (B, M, D) -> (B, kv_heads, M, d) twice."""
        if torch.is_grad_enabled():  # nothing is kept: activation checkpointing computes it a second time
            k, v = keys_values(self.states)
        else:
            if rules.layer not in self.layers:
                self.layers[rules.layer] = keys_values(self.states)
            k, v = self.layers[rules.layer]
        if len(k) != len(q):
            k, v = k.expand(len(q), -1, -1, -1), v.expand(len(q), -1, -1, -1)
        return dot_product(q, k, v, self.mask, scale=rules.scale, softcap=rules.softcap)


class CrossAttention(nn.Module):
    """A layer's attention to the memory; Vaswani et al. 2017, 3.2.3. Positions and masks of the text play no part."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.rules = AttentionRules(layer, scale=config.score_scale)
        self.groups, self.head = config.kv_heads, config.head_size
        memory = config.hidden_size if config.encoder is None else config.encoder.hidden_size
        self.q = Linear(config.hidden_size, config.heads * config.head_size, bias=config.qkv_bias)
        self.kv = Linear(memory, 2 * config.kv_heads * config.head_size, bias=config.qkv_bias)
        self.out = Linear(config.heads * config.head_size, config.hidden_size, bias=config.out_bias)

    def forward(self, x: Tensor, memory: EncoderMemory) -> Tensor:
        """(B, N, D) -> (B, N, D)"""
        q = self.q(x).unflatten(-1, (-1, self.head)).transpose(1, 2)
        y = memory.attend(self.rules, q, self.keys_values)
        return self.out(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def keys_values(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """(B, M, D) -> keys and values, each (B, kv_heads, M, d)"""
        k, v = self.kv(states).unflatten(-1, (2 * self.groups, self.head)).transpose(1, 2).chunk(2, 1)
        return k, v
