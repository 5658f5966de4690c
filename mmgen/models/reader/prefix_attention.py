"""Attention of many prefixes at once, and of answers behind them: each at its own length, so that no row depends on another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from mmgen.models.layers.attention import AttentionRules, VarlenAttention
from mmgen.models.layers.sdpa import dot_product


class PrefixAttention:
    """Backend for prefixes packed into one row; it keeps their keys and values for `AnswerAttention`. Made for one pass."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.rows = VarlenAttention.of(lengths)
        self.places = [*accumulate(lengths, initial=0)]
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}  # each (heads, sum of lengths, d)

    @property
    def lengths(self) -> Tensor:
        """(N,) of each place's prefix."""
        return self.rows.lengths

    def attend(self, rules: AttentionRules, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(1, heads, N, d) -> (1, heads, N, d); N is the sum of all lengths."""
        self.layers[rules.layer] = k[0], v[0]
        return self.rows.attend(rules, q, k, v)

    def read(self, layer: int, row: int) -> tuple[Tensor, Tensor]:
        """Keys and values of one prefix, (heads, length, d)."""
        span = slice(*self.places[row : row + 2])
        keys, values = self.layers[layer]
        return keys[:, span], values[:, span]


class AnswerAttention:
    """Backend for answers of one length packed into one row: each sees its prefix, and itself causally. Many may have the same
    prefix, and none sees another."""

    def __init__(self, prefixes: PrefixAttention, rows: Sequence[int], length: int) -> None:
        """`rows`: of which prefix each answer is."""
        self.prefixes, self.rows, self.length = prefixes, rows, length
        self.masks: dict[int, Tensor] = {}  # by row

    def attend(self, rules: AttentionRules, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(1, heads, N, d) -> (1, heads, N, d); N is answers times length."""
        own = (x.split(self.length, 2) for x in (q, k, v))
        return torch.cat([self._one(rules, row, *x) for row, *x in zip(self.rows, *own, strict=True)], 2)

    def _one(self, rules: AttentionRules, row: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        kept_keys, kept_values = self.prefixes.read(rules.layer, row)
        keys, values = torch.cat((kept_keys[None], k), 2), torch.cat((kept_values[None], v), 2)
        return dot_product(q, keys, values, self._mask(row, keys.shape[2]), scale=rules.scale, softcap=rules.softcap)

    def _mask(self, row: int, keys: int) -> Tensor | None:
        """(length, keys): the prefix, and the answer up to itself."""
        if self.length == 1:
            return None
        if row not in self.masks:
            device = self.prefixes.layers[0][0].device
            self.masks[row] = torch.ones(self.length, keys, dtype=torch.bool, device=device).tril(keys - self.length)
        return self.masks[row]
