"""Scaled dot-product attention, by the fastest kernel that takes the tensors. Masks are given, never decided, here."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgen.models.cpu.batch_invariant import LEAST_QUERIES, attention, filled_up, plain
from mmgen.models.cpu.kernels import DecodeBatch, fitting, readable


def dot_product(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
    *,
    scale: float,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """`softmax(scale QK' + mask)V` -> (B, heads, N, d); Vaswani et al. 2017, eq. 1.

    Args:
        q: (B, heads, N, d); k, v: (B, kv_heads, M, d), never repeated in memory.
        mask: bool, True where a query may look, or numbers to be added; broadcasts to (B, heads, N, M).
        causal: instead of a mask, where N is M.
        softcap: scores become `cap * tanh(scores / cap)` before the mask; Gemma Team 2024, 2.
        sinks: (heads,), a score beside each query's own whose weight goes nowhere; gpt-oss (Agarwal et al. 2025), 2.
    """
    if softcap is not None or sinks is not None:
        queries = q.shape[2]
        if queries < LEAST_QUERIES and plain(q) and not causal:
            q, mask = filled_up(q, mask)
        return weighted(attention_weights(q, k, mask, causal, scale=scale, softcap=softcap, sinks=sinks), v)[:, :, :queries]
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):  # torch's bfloat16 kernel is half as fast going backward
            return _sdpa(q.float(), k.float(), v.float(), mask, causal, scale)
    return _sdpa(q, k, v, mask, causal, scale)


def weighted(weights: Tensor, v: Tensor) -> Tensor:
    """(B, heads, N, M) weights of (B, kv_heads, M, d) values -> (B, heads, N, d)"""
    y: Tensor = weights.unflatten(1, (v.shape[1], -1)) @ v[:, :, None]
    return y.flatten(1, 2)


def _sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float) -> Tensor:
    if mask is not None and mask.dtype != torch.bool:
        mask = mask.to(q.dtype)
    if mask is None and q.shape[2] == len(q) == 1 and (made := fitting(q)) is not None:
        query = q[:, :, 0]
        if readable(query, k[0], v[0]):
            return made.attend(DecodeBatch([(0, [(0, k.shape[2])])]), query, k[0], v[0], scale).unsqueeze(2)
    groups = k.shape[1]
    if groups == q.shape[1]:
        return attention(q, k, v, mask, causal, scale=scale)
    if q.shape[2] == 1 and (mask is None or mask.dim() < 3 or mask.shape[-3] == 1):
        folded = q.unflatten(1, (groups, -1)).squeeze(3)  # heads that share keys as queries of one head: twice as fast
        return attention(folded, k, v, mask, scale=scale).flatten(1, 2).unsqueeze(2)
    return attention(q, k, v, mask, causal, scale=scale, grouped=True)


def attention_weights(
    q: Tensor,
    k: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
    *,
    scale: float,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """The softmax itself, (B, heads, N, M), arguments as of `dot_product`."""
    scores = (q.unflatten(1, (k.shape[1], -1)) @ k[:, :, None].mT).flatten(1, 2) * scale
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    elif mask is not None:
        scores = scores + mask
    return softmax(scores, sinks)


def softmax(scores: Tensor, sinks: Tensor | None = None) -> Tensor:
    """Over the keys of (..., heads, N, M) scores, in fp32; with `sinks`, (heads,), a row's weights add up to less than 1."""
    if sinks is None:
        return scores.float().softmax(-1).to(scores.dtype)
    column = sinks.view(-1, 1, 1).expand(*scores.shape[:-1], 1)
    return torch.cat((scores, column), -1).float().softmax(-1)[..., :-1].to(scores.dtype)
