"""Attention of many queries by attention.c: three to four times as fast as torch's where heads are small.

On AVX-512 alone: on AVX2 torch's is twice as fast.

A query's result is the same, to the bit, whatever rows and queries are computed beside it.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from mmgen.models.cpu import structs
from mmgen.models.cpu.kernels import LANES, MAX_HEAD_DIM, kernels

LEAST_QUERIES = 16
"""Queries from which keys and values are worth laying out anew."""
TILE = 64
"""Keys whose scores are summed in registers."""


def takes(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> bool:
    """Whether `attend` computes these; nothing of that depends on the number of rows, (B, heads, N, d)."""
    made, size = kernels(), q.shape[-1]
    if (
        made is None
        or not made.attends_fast
        or not (q.dtype == torch.float32 or (q.dtype == torch.bfloat16 and made.attends_narrow))
    ):
        return False
    return (
        q.dim() == 4
        and q.device.type == "cpu"
        and q.shape[2] >= LEAST_QUERIES
        and k.shape[2] > 0
        and 0 < size <= MAX_HEAD_DIM
        and k.dtype == v.dtype == q.dtype
        and k.shape == v.shape
        and k.shape[-1] == size
        and (bias is None or of_keys(bias, q, k))
    )


def of_keys(bias: Tensor, q: Tensor, k: Tensor) -> bool:
    """Whether it is numbers of keys, for each row and head or for all of them: (B, heads, 1, N), any of B and heads 1, or
    expanded to M queries."""
    if bias.dim() != 4 or not bias.is_floating_point() or bias.shape[-1] != k.shape[2]:
        return False
    same = bias.shape[2] == 1 or bias.stride(2) == 0
    return same and all(own in (1, whole) for own, whole in zip(bias.shape[:2], q.shape[:2], strict=True))


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None, *, scale: float) -> Tensor:
    """`softmax(scale QK' + bias) V`, (B, heads, M, d), (B, groups, N, d) -> (B, heads, M, d), places before heads in memory.

    bias: see `of_keys`. Only of what `takes` says.
    """
    made = kernels()
    assert made is not None
    (rows, heads, queries, size), (groups, keys) = q.shape, k.shape[1:3]
    q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v))
    narrow = q.dtype == torch.bfloat16
    depth, width = (-(-size // 2) if narrow else size), -(-size // LANES) * LANES
    each = -(-keys // TILE) * TILE * (depth + width // (2 if narrow else 1))
    room = torch.empty(rows * groups * each, dtype=torch.int32)
    y = q.new_empty(rows, queries, heads, size).transpose(1, 2)
    added = None if bias is None else bias[:, :, 0].to(torch.float32).contiguous()
    about = structs.ManyQueries(
        *(structs.AttentionHeads(x.data_ptr(), *x.stride()[:3]) for x in (q, k, v, y)),
        0 if added is None else added.data_ptr(), *(_steps(added) if added is not None else (0, 0)), room.data_ptr(), rows,
        heads, groups, queries, keys, size, narrow, torch.get_num_threads(), scale,
    )  # fmt: skip
    made.attend_all(ctypes.addressof(about))
    return y


def _steps(bias: Tensor) -> tuple[int, int]:
    """Numbers from one row, and one head, to the next."""
    rows, heads, keys = bias.shape
    return (0 if rows == 1 else heads * keys), (0 if heads == 1 else keys)
