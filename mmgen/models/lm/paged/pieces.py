"""Attention to keys and values that lie in pieces."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmgen.models.layers.attention import AttentionRules
from mmgen.models.layers.sdpa import softmax


def attend_pieces(rules: AttentionRules, q: Tensor, pieces: Sequence[tuple[Tensor, Tensor]], mask: Tensor | None) -> Tensor:
    """`sdpa.dot_product` over keys and values that lie in pieces, without putting them together.

    Args:
        q: (1, heads, N, d).
        pieces: keys (kv_heads, m, d) and values (kv_heads, m, e), M of them in all.
        mask: bool (N, M), or (heads, N, M) to be added.

    Returns: (1, heads, N, e)
    """
    groups, (_, heads, count, width) = len(pieces[0][0]), q.shape
    folded = q[0].reshape(groups, -1, width)  # heads that share keys, and their queries, as rows of one product
    scores = torch.cat([folded @ k.mT for k, _ in pieces], 2).view(groups, -1, count, sum(k.shape[1] for k, _ in pieces))
    scores = scores * rules.scale  # (kv_heads, heads / kv_heads, N, M)
    if rules.softcap is not None:
        scores = rules.softcap * torch.tanh(scores / rules.softcap)
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, float("-inf"))
    elif mask is not None:
        scores = scores + mask.view(groups, -1, *mask.shape[1:])
    weights = softmax(scores.flatten(0, 1), rules.sinks).view_as(scores)
    parts = weights.flatten(1, 2).split([k.shape[1] for k, _ in pieces], 2)
    y = torch.stack([weight @ v for weight, (_, v) in zip(parts, pieces, strict=True)]).sum(0)
    return y.view(1, heads, count, -1)
