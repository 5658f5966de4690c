"""Attention against its formula, one query head at a time; whichever kernel takes the tensors, the numbers are these."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from mmgen.models.layers.sdpa import attention_weights, dot_product, weighted

HEADS, KEYS, SIZE = 4, 11, 16


def naive(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, scale: float, softcap: float | None) -> Tensor:
    """`bias`: (B, heads, N, M), added to the scores."""
    out = torch.zeros_like(q)
    for row, head in itertools.product(range(q.shape[0]), range(q.shape[1])):
        shared = head * k.shape[1] // q.shape[1]
        scores = q[row, head] @ k[row, shared].T * scale
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        out[row, head] = (scores + bias[row, head]).softmax(-1) @ v[row, shared]
    return out


def tensors(rows: int, queries: int, kv_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(queries)
    q = torch.randn(rows, HEADS, queries, SIZE)
    return q, torch.randn(rows, kv_heads, KEYS, SIZE), torch.randn(rows, kv_heads, KEYS, SIZE)


def masks(rows: int, queries: int) -> dict[str, Tensor | None]:
    seen = torch.rand(rows, HEADS, queries, KEYS) < 0.6
    seen[..., 0] = True  # every query sees a key
    return {
        "none": None, "one for all": seen[0, 0], "one a row": seen[:, :1], "one a head": seen[:1],
        "added": torch.randn(rows, HEADS, queries, KEYS), "added, one a row": torch.randn(rows, 1, queries, KEYS),
    }  # fmt: skip


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize(("rows", "queries"), [(1, 1), (3, 1), (2, 5)])
def test_against_the_formula(rows: int, queries: int, kv_heads: int, softcap: float | None) -> None:
    q, k, v = tensors(rows, queries, kv_heads)
    for name, mask in masks(rows, queries).items():
        bias = torch.zeros(rows, HEADS, queries, KEYS)
        if mask is not None:
            bias = bias + mask if mask.dtype != torch.bool else bias.masked_fill(~mask, float("-inf"))
        expected = naive(q, k, v, bias, 0.3, softcap)
        for grad in (True, False):  # without gradients a single query has a kernel of its own
            with torch.set_grad_enabled(grad):
                found = dot_product(q, k, v, mask, scale=0.3, softcap=softcap)
            torch.testing.assert_close(found, expected, msg=lambda why, name=name: f"mask: {name}. {why}")


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_causal_is_a_lower_triangle(kv_heads: int, softcap: float | None) -> None:
    q, k, v = tensors(2, KEYS, kv_heads)
    triangle = torch.ones(KEYS, KEYS, dtype=torch.bool).tril()
    found = dot_product(q, k, v, causal=True, scale=0.25, softcap=softcap)
    torch.testing.assert_close(found, dot_product(q, k, v, triangle, scale=0.25, softcap=softcap))
    torch.testing.assert_close(found[:, 0, 0], v[:, 0, 0])


def test_weights_are_the_softmax_itself() -> None:
    q, k, v = tensors(2, 5, 2)
    seen = torch.ones(5, KEYS, dtype=torch.bool)
    seen[2, 3:] = False
    weights = attention_weights(q, k, seen, scale=1 / math.sqrt(SIZE))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, HEADS, 5))
    assert not weights[:, :, 2, 3:].any()
    torch.testing.assert_close(weighted(weights, v), dot_product(q, k, v, seen, scale=1 / math.sqrt(SIZE)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_an_added_mask_takes_the_tensors_type(dtype: torch.dtype) -> None:
    q, k, v = (one.to(dtype) for one in tensors(2, 5, 4))
    bias = torch.randn(2, 1, 5, KEYS)
    found = dot_product(q, k, v, bias, scale=0.25)
    assert found.dtype == dtype
    exact = dot_product(q.float(), k.float(), v.float(), bias, scale=0.25)
    torch.testing.assert_close(found.float(), exact, atol=0.03, rtol=0.03)


def test_under_autocast_bfloat16_is_computed_in_float32() -> None:
    """torch's own bfloat16 kernel would round the result."""
    q, k, v = (one.bfloat16() for one in tensors(2, 5, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = dot_product(q, k, v, scale=0.25)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, dot_product(q.float(), k.float(), v.float(), scale=0.25))
