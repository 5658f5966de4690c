"""Attention over packed rows: each document attends only to itself."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgen.models.layers.attention import AttentionRules, attend_rows
from mmgen.models.layers.gated_delta import Scan
from mmgen.models.layers.masks import packed_mask
from mmgen.models.layers.sdpa import attention_weights, dot_product, weighted


class PackedAttention:
    """An `AttentionBackend` over whole rows (B, N), created for each forward pass."""

    def __init__(self, documents: Tensor | None = None) -> None:
        """`documents`: (B, N) numbers of documents; None: every row is of one."""
        self.documents = documents
        self.masks: dict[tuple[object, ...], Tensor] = {}

    def attend(self, rules: AttentionRules, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B, heads, N, d), (B, kv_heads, N, d) twice -> (B, heads, N, d)"""
        if q.device.type == "cpu" and q.dtype == torch.bfloat16:  # the fused kernel takes three times as long going backward
            return weighted(attention_weights(q, k, self._mask(rules, q), scale=rules.scale, softcap=rules.softcap), v)
        if self.documents is None:
            return attend_rows(rules, q, k, v)
        return dot_product(q, k, v, self._mask(rules, q), scale=rules.scale, softcap=rules.softcap)

    def recur(self, layer: int, scan: Scan, x: Tensor) -> Tensor:
        """See `RecurrentBackend`: documents are read one by one."""
        if self.documents is None:
            return scan(x, None)[0]
        rows = []
        for row, numbers in zip(x, self.documents, strict=True):
            parts = row.split(numbers.unique_consecutive(return_counts=True)[1].tolist())
            rows.append(torch.cat([scan(part[None], None)[0] for part in parts], 1))
        return torch.cat(rows)

    def _mask(self, rules: AttentionRules, q: Tensor) -> Tensor:
        """What is added to the scores: (N, N), or (B, 1 or heads, N, N); layers of one kind share it."""
        if rules.kind not in self.masks:
            places = torch.arange(q.shape[2], device=q.device)
            mask = rules.mask(places, places)
            if mask is None:
                mask = torch.ones(len(places), len(places), dtype=torch.bool, device=q.device)
            same = None if self.documents is None else packed_mask(self.documents)
            self.masks[rules.kind] = _added(mask, same, q.dtype)
        return self.masks[rules.kind]


def _added(mask: Tensor, same: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Combines a mask, bool or additive, with the same-document mask -> additive."""
    least = torch.finfo(dtype).min
    if mask.dtype == torch.bool:
        seen = mask if same is None else mask & same
        return torch.zeros(seen.shape, dtype=dtype, device=mask.device).masked_fill_(~seen, least)
    return mask.to(dtype) if same is None else mask.to(dtype).masked_fill(~same, least)
