"""Operations on a CPU whose result for a row is the same, to the bit, whatever rows are computed beside it.

A library chooses its code by the size of what it is given, and other code rounds differently ("batch invariance": He et al.
2025, Defeating Nondeterminism in LLM Inference). What depends on the batch, and what does not, was measured and stands as a
table in docs/determinism.md; tests/models/cpu/test_batch_invariant.py measures it anew. With gradients torch computes as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmgen.models.cpu import attention as many_queries

ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
DTYPES = {torch.float32} | ({torch.bfloat16} if ONEDNN and torch.ops.mkldnn._is_mkldnn_bf16_supported() else set())
"""That oneDNN multiplies on this processor: bf16 wants AVX-512."""
LEAST_ROWS = 2
"""Rows from which oneDNN's products add in one order; MKL's, which torch takes in fp32, take another for 1, 2, 4, 8 and 12."""
LEAST_QUERIES = 4
"""Queries of a head from which fp32 attention does not depend on which thread computes it."""
LEAST_HEAD = 12
"""Numbers of a head from which it does not; and they are a multiple of four."""
GELU_SHARE = 16384
"""Numbers up to which one thread computes a GELU."""
VECTOR = {4: 32, 2: 64}
"""Numbers of so many bytes that torch computes in one turn of a loop over whole vectors, on AVX-512 or narrower."""
SHARE = 32768
"""Numbers up to which one thread computes an elementwise operation: at::internal::GRAIN_SIZE."""


def plain(x: Tensor) -> bool:
    """Whether rows of x are computed here: on a CPU, without gradients, at the model's own precision."""
    return (
        x.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x W' + b`, (..., D), (E, D), (E,) -> (..., E); a single row is computed twice.

    In fp32 by oneDNN. torch takes MKL there, which leaves AVX-512 unused on AMD: 110 against 250 GFLOP/s on one Zen core.
    """
    if not (ONEDNN and x.dtype == weight.dtype and x.dtype in DTYPES and plain(x)):
        return F.linear(x, weight, bias)
    rows = x.numel() // x.shape[-1]
    if rows == 0 or rows >= LEAST_ROWS:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # type: ignore[no-any-return]
    twice = x.reshape(1, -1).repeat(LEAST_ROWS, 1)
    y = torch.ops.mkldnn._linear_pointwise(twice, weight, bias, "none", [], "")
    return y[:1].view(*x.shape[:-1], len(weight))  # type: ignore[no-any-return]


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Tensor:
    """`F.conv2d`, (B, C, H, W) -> (B, C', H', W'), by oneDNN; torch takes other code for one small image than for several."""
    if not (ONEDNN and x.dtype == weight.dtype and x.dtype in DTYPES and plain(x)):
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    how = [*padding], [*stride], [*dilation], groups
    return torch.ops.mkldnn._convolution_pointwise(x, weight, bias, *how, "none", [], "")  # type: ignore[no-any-return]


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False, *, scale: float, grouped: bool = False
) -> Tensor:
    """`F.scaled_dot_product_attention`, of at least LEAST_QUERIES queries with at least LEAST_HEAD numbers each.

    It depends on the number of queries and of keys, padding among them: a row is to be computed at its own length.
    """
    compute = partial(F.scaled_dot_product_attention, scale=scale, enable_gqa=grouped)
    if q.dtype != torch.float32 or not plain(q):
        return compute(q, k, v, mask, is_causal=causal)
    queries, width, own = q.shape[2], q.shape[3], v.shape[3]
    if width < LEAST_HEAD or width % 4 or own != width:
        size = max(LEAST_HEAD, -(-max(width, own) // 4) * 4)
        q, k, v = (F.pad(x, (0, size - x.shape[3])) for x in (q, k, v))
    if queries >= LEAST_QUERIES:
        return compute(q, k, v, mask, is_causal=causal)[..., :own]
    q, mask = filled_up(q, torch.ones(queries, k.shape[2], dtype=torch.bool).tril() if causal else mask)
    return compute(q, k, v, mask)[:, :, :queries, :own]


def dense_attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None, *, scale: float, grouped: bool = False
) -> Tensor:
    """`attention` of networks that always see a row's queries together: by our own kernel, where it takes them.

    Another number of queries may be computed by other code, so this is nothing for texts that are read in chunks.
    """
    if scale > 0 and plain(q) and many_queries.takes(q, k, v, bias):
        return many_queries.attend(q, k, v, bias, scale=scale)
    return attention(q, k, v, bias, scale=scale, grouped=grouped)


def filled_up(q: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """(B, heads, N, d) queries, the last one repeated up to LEAST_QUERIES, and a mask for them."""
    more = LEAST_QUERIES - q.shape[2]
    q = torch.cat((q, q[:, :, -1:].expand(-1, -1, more, -1)), 2)
    if mask is not None and mask.dim() > 1 and mask.shape[-2] > 1:
        mask = torch.cat((mask, mask[..., -1:, :].expand(*mask.shape[:-2], more, -1)), -2)
    return q, mask


def elementwise(function: Callable[[Tensor], Tensor], into: Callable[..., Any], x: Tensor, gelu: bool = False) -> Tensor:
    """`function(x)` for each number, by the same code. `into`: its form with `out=`; `gelu`: it has shares of its own.

    torch's loops leave what is behind whole vectors, at the end of each thread's share, to scalar code: so shares are made
    of whole vectors here, and what is left of x is filled up to one.
    """
    count, vector = x.numel(), VECTOR.get(x.dtype.itemsize, 0)
    if not vector or not plain(x):
        return function(x)
    whole = _whole_shares(count, vector, gelu)
    planes = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    x = x if planes else x.contiguous()
    if whole == count:
        return function(x)
    y = torch.empty_like(x)
    flat, out = x.as_strided((count,), (1,)), y.as_strided((count,), (1,))
    if whole:
        into(flat[:whole], out=out[:whole])
    filled = flat.new_zeros(-(-(count - whole) // vector) * vector)
    filled[: count - whole] = flat[whole:]
    out[whole:] = function(filled)[: count - whole]
    return y


def _whole_shares(count: int, vector: int, gelu: bool) -> int:
    """The most of `count` numbers that torch divides between its threads in multiples of `vector`."""
    while count:
        most = torch.get_num_threads()
        threads = (most if count > GELU_SHARE else 1) if gelu else min(most, -(-count // SHARE))
        if not (rest := count % (vector * threads)):
            break
        count -= rest
    return count


def silu(x: Tensor) -> Tensor:
    return elementwise(F.silu, torch.ops.aten.silu.out, x)


def sigmoid(x: Tensor) -> Tensor:
    return elementwise(torch.sigmoid, torch.sigmoid, x)


def gelu_tanh(x: Tensor) -> Tensor:
    return elementwise(_gelu_tanh, partial(torch.ops.aten.gelu.out, approximate="tanh"), x, gelu=True)


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")
