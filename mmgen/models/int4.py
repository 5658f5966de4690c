"""Linear layers with int4 weights, a scale and an offset for each group of a row. Knows layers; not what they compute."""

from __future__ import annotations

import torch
from torch import Tensor, nn

GROUP = 32
"""Weights of a row that share a scale: 5 bits a weight in all."""


def rounded(weight: Tensor, group: int = GROUP) -> tuple[Tensor, Tensor, Tensor]:
    """(out, in) -> numbers 0 to 15 (out, in), scales and offsets (out, in / group), all of them as they are kept: fp16.

    A weight is `(number - 8) * scale + offset`. Rounding what `restored` gave changes nothing.
    """
    parts = weight.float().unflatten(1, (-1, group))
    least, most = parts.amin(2), parts.amax(2)
    scale = ((most - least) / 15).clamp(min=1e-6).half()
    offset = (least + 8 * scale.float()).half()
    numbers = ((parts - offset.float()[..., None]) / scale.float()[..., None]).round() + 8
    return numbers.clamp(0, 15).to(torch.uint8).flatten(1), scale, offset


def restored(numbers: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """The inverse of `rounded` -> (out, in) float32"""
    parts = numbers.float().unflatten(1, (scale.shape[1], -1)) - 8
    whole: Tensor = parts * scale.float()[..., None] + offset.float()[..., None]
    return whole.flatten(1)


def fits(linear: nn.Linear) -> bool:
    """Whether the kernel takes such a layer."""
    return linear.in_features % GROUP == 0 and linear.out_features % 16 == 0


class Int4Linear(nn.Module):
    """`x W' + b` with int4 weights and bf16 activations; CPU only. Half of the bytes that int8 reads."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        numbers, scale, offset = rounded(linear.weight.detach())
        self.packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(numbers.int(), 1)
        self.scales = torch.stack((scale.T, offset.T), 2).bfloat16().contiguous()  # (in / group, out, 2)
        self.bias = None if linear.bias is None else linear.bias.detach().float()
        self.in_features, self.out_features = linear.in_features, linear.out_features

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, -2).bfloat16()
        y: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(flat, self.packed, GROUP, self.scales)
        y = y.to(x.dtype).unflatten(0, x.shape[:-1])
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return f"{self.in_features} -> {self.out_features}"
