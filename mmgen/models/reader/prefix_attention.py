"""Attention of many prefixes at once, and of answers behind them: each at its own length, so that no row depends on another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from mmgen.models.layers.attention import AttentionRules, PackedPass, VarlenAttention
from mmgen.models.layers.sdpa import dot_product


class PrefixAttention:
    """Backend for prefixes packed into one row; it keeps their keys and values for `AnswerAttention`. Made for one pass."""

    keeps = True

    def __init__(self, lengths: Sequence[int]) -> None:
        self.rows = VarlenAttention.of(lengths)
        self.places = [*accumulate(lengths, initial=0)]
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}  # each (heads, sum of lengths, d)
        self.states: Tensor | None = None  # of all layers, where they were computed in one call

    @property
    def lengths(self) -> Tensor:
        """(N,) of each place's prefix."""
        return self.rows.lengths

    def attend(self, rules: AttentionRules, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(1, heads, N, d) -> (1, heads, N, d); N is the sum of all lengths."""
        self.layers[rules.layer] = k[0], v[0]
        return self.rows.attend(rules, q, k, v)

    def packed(self, x: Tensor) -> PackedPass:
        return self.rows.packed(x)

    def keep(self, states: Tensor) -> None:
        self.states = states

    def read(self, layer: int, row: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of one prefix, (heads, length, d), d and dtype as those of `like`."""
        span = slice(*self.places[row : row + 2])
        if self.states is not None:
            _, keys, values = self.states[layer, span].to(like.dtype).unflatten(-1, (3, -1, like.shape[-1])).permute(1, 2, 0, 3)
            return keys, values
        keys, values = self.layers[layer]
        return keys[:, span], values[:, span]


class AnswerAttention:
    """Backend for answers of one length packed into one row: each sees its prefix, and itself causally. Many may have the same
    prefix, and none sees another."""

    keeps = False

    def __init__(self, prefixes: PrefixAttention, rows: Sequence[int], length: int) -> None:
        """`rows`: of which prefix each answer is."""
        self.prefixes, self.rows, self.length = prefixes, rows, length
        self.masks: dict[int, Tensor] = {}  # by row

    def attend(self, rules: AttentionRules, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(1, heads, N, d) -> (1, heads, N, d); N is answers times length."""
        own = (x.split(self.length, 2) for x in (q, k, v))
        return torch.cat([self._one(rules, row, *x) for row, *x in zip(self.rows, *own, strict=True)], 2)

    def packed(self, x: Tensor) -> PackedPass | None:
        prefixes = self.prefixes
        if prefixes.states is None:
            return None
        places = [(prefixes.places[row], prefixes.places[row + 1] - prefixes.places[row]) for row in self.rows]
        return PackedPass([self.length] * len(self.rows), places, True, prefixes.states)

    def keep(self, states: Tensor) -> None: ...

    def _one(self, rules: AttentionRules, row: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        kept_keys, kept_values = self.prefixes.read(rules.layer, row, q)
        keys, values = torch.cat((kept_keys[None], k), 2), torch.cat((kept_values[None], v), 2)
        return dot_product(q, keys, values, self._mask(row, keys.shape[2], q.device), scale=rules.scale, softcap=rules.softcap)

    def _mask(self, row: int, keys: int, device: torch.device) -> Tensor | None:
        """(length, keys): the prefix, and the answer up to itself."""
        if self.length == 1:
            return None
        if row not in self.masks:
            self.masks[row] = torch.ones(self.length, keys, dtype=torch.bool, device=device).tril(keys - self.length)
        return self.masks[row]
