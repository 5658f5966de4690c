"""Group norm with SiLU, and gates: torch's numbers in one pass, the same for a row whatever the others are."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgen.models.cpu.activations import gated_gelu, gelu_tanh, group_norm
from mmgen.models.cpu.kernels import kernels

made = kernels()
DTYPES = [torch.float32, *([torch.bfloat16] if made is not None and made.attends_narrow else [])]
NEAR = {torch.float32: 1e-5, torch.bfloat16: 0.03}


def normed(groups: int, channels: int, dtype: torch.dtype) -> nn.GroupNorm:
    norm = nn.GroupNorm(groups, channels).requires_grad_(False)
    norm.weight.normal_()
    norm.bias.normal_()
    return norm.to(dtype)


def image(rows: int, channels: int, height: int, width: int, dtype: torch.dtype, last: bool = True) -> Tensor:
    x = (torch.randn(rows, channels, height, width) + 0.5).to(dtype)
    return x.to(memory_format=torch.channels_last) if last else x


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("groups", "channels", "size"), [(4, 8, (9, 11)), (32, 96, (8, 8)), (5, 70, (1, 3))])
@torch.inference_mode()
def test_group_norm(groups: int, channels: int, size: tuple[int, int], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, norm = image(3, channels, *size, dtype), normed(groups, channels, dtype)
    added, both = torch.randn(3, channels).to(dtype), torch.randn(3, 2 * channels).to(dtype)
    scale, shift = both.chunk(2, dim=1)
    plain = F.group_norm(x.float(), groups, norm.weight.float(), norm.bias.float(), norm.eps)
    more = F.group_norm(x.float() + added.float()[:, :, None, None], groups, norm.weight.float(), norm.bias.float(), norm.eps)
    scaled = plain * (1 + scale.float()[:, :, None, None]) + shift.float()[:, :, None, None]
    ways = [
        (group_norm(x, norm, activated=False), plain),
        (group_norm(x, norm), F.silu(plain)),
        (group_norm(x, norm, added), F.silu(more)),
        (group_norm(x, norm, scaled=(scale, shift)), F.silu(scaled)),
        (group_norm(x.contiguous(), norm, added), F.silu(more)),  # as torch computes it
    ]
    for found, expected in ways:
        torch.testing.assert_close(found.float(), expected, rtol=NEAR[dtype], atol=2 * NEAR[dtype])
    assert made is None or group_norm(x, norm).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", DTYPES)
@torch.inference_mode()
def test_a_row_is_the_same_alone(dtype: torch.dtype) -> None:
    x, norm, added = image(5, 48, 20, 20, dtype), normed(4, 48, dtype), torch.randn(5, 48).to(dtype)
    whole = group_norm(x, norm, added)
    for row in range(5):
        alone = x[row : row + 1].clone(memory_format=torch.channels_last)
        assert torch.equal(group_norm(alone, norm, added[row : row + 1]), whole[row : row + 1])


@torch.inference_mode()
def test_nan_and_infinity_are_not_hidden() -> None:
    x, norm = image(2, 8, 4, 4, torch.float32), normed(2, 8, torch.float32)
    x[0, 1, 2, 2] = float("nan")
    found = group_norm(x, norm)
    assert found[0, :4].isnan().all() and not found[0, 4:].isnan().any() and not found[1].isnan().any()
    assert gated_gelu(torch.tensor([[1.0, float("inf")], [1.0, float("nan")]])).isnan().tolist() == [[False], [True]]


def test_gradients_flow() -> None:
    x = image(1, 8, 4, 4, torch.float32).requires_grad_()
    group_norm(x, nn.GroupNorm(2, 8)).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("dtype", DTYPES)
@torch.inference_mode()
def test_gated_gelu(dtype: torch.dtype) -> None:
    x = (3 * torch.randn(2, 7, 74)).to(dtype)
    value, gate = x.float().chunk(2, dim=-1)
    torch.testing.assert_close(gated_gelu(x).float(), value * F.gelu(gate), rtol=NEAR[dtype], atol=NEAR[dtype])
    assert torch.equal(gated_gelu(x)[1:], gated_gelu(x[1:].clone()))


@pytest.mark.parametrize("dtype", DTYPES)
@torch.inference_mode()
def test_gelu_by_tanh(dtype: torch.dtype) -> None:
    x = (3 * torch.randn(3, 37)).to(dtype)
    found = gelu_tanh(x)
    torch.testing.assert_close(found.float(), F.gelu(x.float(), approximate="tanh"), rtol=NEAR[dtype], atol=NEAR[dtype])
    assert torch.equal(gelu_tanh(x[1:].clone()), found[1:])
