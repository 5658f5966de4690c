"""Attention of many queries by our own kernel: torch's numbers, the same for a query whatever is computed beside it."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmgen.models.cpu import attention, build
from mmgen.models.cpu.kernels import kernels

needed = pytest.mark.skipif(build.library() is None, reason=f"there are no kernels here: {build.reason()}")
made = kernels()
DTYPES = [torch.float32, *([torch.bfloat16] if made is not None and made.attends_narrow else [])]
SHAPES = [(64, 64, 4, 4, 40), (17, 77, 2, 2, 16), (40, 300, 4, 2, 7), (20, 1, 2, 1, 130), (16, 257, 1, 1, 64)]
"""Queries, keys, heads, heads of keys, numbers of a head."""


def heads(rows: int, many: int, places: int, size: int, dtype: torch.dtype, seed: int) -> Tensor:
    """As linear layers give them: places before heads."""
    return torch.randn(rows, places, many, size, generator=torch.Generator().manual_seed(seed)).to(dtype).transpose(1, 2)


@needed
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("queries", "keys", "many", "groups", "size"), SHAPES)
def test_gives_what_torch_gives(queries: int, keys: int, many: int, groups: int, size: int, dtype: torch.dtype) -> None:
    q, k, v = (heads(3, *shape, size, dtype, n) for n, shape in enumerate([(many, queries), (groups, keys), (groups, keys)]))
    bias = 3 * torch.randn(3, 1, 1, keys)
    assert attention.takes(q, k, v, bias) or (made is not None and not made.attends_fast)
    for added in (None, bias, bias[:1].expand(1, many, queries, keys), bias.expand(3, many, 1, keys) * 2):
        whole = None if added is None else added.double()
        expected = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), whole, scale=0.3, enable_gqa=True)
        found = attention.attend(q, k, v, added, scale=0.3)
        near = 2e-6 if dtype == torch.float32 else 0.02
        torch.testing.assert_close(found.double(), expected, rtol=near, atol=near)


@needed
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_query_is_the_same_alone_and_among_others(dtype: torch.dtype) -> None:
    q, k, v = (heads(3, 4, places, 24, dtype, n) for n, places in enumerate((50, 90, 90)))
    whole = attention.attend(q, k, v, scale=0.2)
    assert torch.equal(attention.attend(q[1:2, :, 5:31], k[1:2], v[1:2], scale=0.2), whole[1:2, :, 5:31])
    hidden = torch.zeros(3, 1, 1, 96)
    hidden[..., 90:] = -10000
    padded = [F.pad(x, (0, 0, 0, 6), value=3.0) for x in (k, v)]
    assert torch.equal(attention.attend(q, *padded, hidden, scale=0.2), whole)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(attention.attend(q, k, v, scale=0.2), whole)
    finally:
        torch.set_num_threads(before)


@needed
def test_nan_is_not_hidden() -> None:
    q, k, v = (heads(1, 1, 32, 16, torch.float32, n) for n in range(3))
    k[0, 0, 7, 3] = float("nan")
    assert attention.attend(q, k, v, scale=0.2).isnan().all()


def test_what_it_leaves_to_torch() -> None:
    q, k, v = (torch.zeros(2, 2, 32, 16) for _ in range(3))
    assert not attention.takes(q[:, :, :8], k, v)
    assert not attention.takes(q.double(), k.double(), v.double())
    assert not attention.takes(q, k, torch.zeros(2, 2, 32, 8))
    assert not attention.takes(q, k, v, torch.zeros(2, 2, 32, 32))  # numbers of each query
    assert not attention.takes(q, k, v, torch.ones(2, 1, 1, 32, dtype=torch.bool))
