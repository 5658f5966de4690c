"""Group norm, SiLU and gates in one pass over memory, by activations.c; a row's result does not depend on the others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgen.models.cpu import batch_invariant
from mmgen.models.cpu.batch_invariant import plain, silu
from mmgen.models.cpu.kernels import Kernels, kernels

PART = 64
"""Places that are summed together."""


def taking(x: Tensor) -> Kernels | None:
    """The kernels, where they compute x: fp32 or bfloat16 on a CPU, without gradients."""
    made = kernels()
    if made is None or not (x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and made.attends_narrow)):
        return None
    return made if plain(x) else None


def group_norm(
    x: Tensor,
    norm: nn.GroupNorm,
    added: Tensor | None = None,
    scaled: tuple[Tensor, Tensor] | None = None,
    activated: bool = True,
) -> Tensor:
    """`silu(norm(x + added) * (1 + scale) + shift)`, (B, C, h, w) -> (B, C, h, w).

    Args:
        added: (B, C), of each row and channel.
        scaled: scale and shift, (B, C) each, with equal strides.
        activated: with the SiLU.
    """
    made = taking(x) if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) and norm.affine else None
    if made is None or norm.weight.dtype != x.dtype or x.numel() == 0:
        return _by_torch(x, norm, added, scaled, activated)
    rows, channels, height, width = x.shape
    told = [None if one is None else one.to(x.dtype) for one in (added, *(scaled or (None, None)))]
    step = next((one.stride(0) for one in told if one is not None), 0)
    parts = -(-height * width // PART)
    room, y = torch.empty(rows * (parts + 1) * 2 * channels), torch.empty_like(x)
    assert all(one is None or (one.stride(1) == 1 and one.stride(0) == step) for one in told)
    made.group_norm(
        x.data_ptr(), norm.weight.data_ptr(), norm.bias.data_ptr(), *(0 if one is None else one.data_ptr() for one in told),
        y.data_ptr(), room.data_ptr(), rows, height * width, channels, norm.num_groups, step, activated,
        x.dtype == torch.bfloat16, torch.get_num_threads(), norm.eps,
    )  # fmt: skip
    return y


def _by_torch(
    x: Tensor, norm: nn.GroupNorm, added: Tensor | None, scaled: tuple[Tensor, Tensor] | None, activated: bool
) -> Tensor:
    if added is not None:
        x = x + added[:, :, None, None]
    if x.dtype == torch.float32 and plain(x):  # channels last torch's code sees the batch
        x = x.contiguous()
    x = F.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)
    if scaled is not None:
        scale, shift = (one[:, :, None, None] for one in scaled)
        x = x * (1 + scale) + shift
    return silu(x) if activated else x


def gated_gelu(x: Tensor) -> Tensor:
    """(..., 2 H), values and then their gates -> (..., H), values times the gates' GELU: GEGLU (Shazeer 2020)."""
    made = taking(x)
    if made is None or x.numel() == 0:
        value, gate = x.chunk(2, dim=-1)
        return value * F.gelu(gate)
    x = x.contiguous()
    width = x.shape[-1] // 2
    y = x.new_empty(*x.shape[:-1], width)
    rows = y.numel() // width
    made.gated_gelu(x.data_ptr(), y.data_ptr(), rows, width, x.dtype == torch.bfloat16, torch.get_num_threads())
    return y


def gelu_tanh(x: Tensor) -> Tensor:
    """Of each number: GELU by tanh."""
    made = taking(x)
    if made is None or x.numel() == 0 or not x.is_contiguous():
        return batch_invariant.gelu_tanh(x)
    y = torch.empty_like(x)
    made.gelu_by_tanh(x.data_ptr(), y.data_ptr(), x.numel(), x.dtype == torch.bfloat16, torch.get_num_threads())
    return y
