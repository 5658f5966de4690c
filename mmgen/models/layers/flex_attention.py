"""Block-sparse attention through FlexAttention, which skips the blocks that nobody sees. Knows one kernel; not layers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from mmgen.models.layers.masks import BlockSparseMask


def fits(added: Sequence[object], q: Tensor) -> bool:
    """Whether the kernel is worth it: on a CPU a mask does as well. `added`: what scores have beside a mask, each None."""
    return q.device.type == "cuda" and all(one is None for one in added)


def attend(
    sparse: BlockSparseMask,
    causal: bool,
    window: int | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float,
    compiled: bool = True,
) -> Tensor:
    """(B, heads, N, d), (B, kv_heads, N, d) twice -> (B, heads, N, d)"""
    blocks = _blocks(sparse, causal, window, q.shape[2], str(q.device))
    grouped = q.shape[1] != k.shape[1]
    y: Tensor = _kernel(compiled)(q, k, v, block_mask=blocks, scale=scale, enable_gqa=grouped)
    return y


@lru_cache(maxsize=2)
def _kernel(compiled: bool) -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False) if compiled else flex_attention


@lru_cache(maxsize=16)
def _blocks(sparse: BlockSparseMask, causal: bool, window: int | None, length: int, device: str) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(batch: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        seen = sparse.sees(q, k)
        if causal:
            seen = seen & (k <= q)
        return seen if window is None else seen & (k > q - window)

    return create_block_mask(sees, None, None, length, length, device=device)
