"""Linear layers with int4 weights, a scale and an offset for each group of a row. Knows layers; not what they compute."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgen.models.cpu.kernels import TILE_N, Kernels, kernels

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
    """`x W' + b` with int4 weights; CPU only. Half of the bytes that int8 reads.

    By our own kernel where there is one (kernels.py), with activations rounded to int8, a scale for every 32 of them;
    otherwise by torch's, with bf16 activations.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        numbers, scale, offset = rounded(linear.weight.detach())
        made = kernels()
        self.kernels = made if made is not None and made.integers else None
        if self.kernels is not None:
            self.packed = panels(numbers, scale, offset)
        else:
            self.packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(numbers.int(), 1)
            self.scales = torch.stack((scale.T, offset.T), 2).bfloat16().contiguous()  # (in / group, out, 2)
        self.bias = None if linear.bias is None else linear.bias.detach().float()
        self.in_features, self.out_features = linear.in_features, linear.out_features

    def forward(self, x: Tensor) -> Tensor:
        if self.kernels is not None:
            return self._native(self.kernels, x.float()).to(x.dtype)
        flat = x.reshape(-1, self.in_features).bfloat16()
        y: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(flat, self.packed, GROUP, self.scales)
        y = y.to(x.dtype).view(*x.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias

    def _native(self, made: Kernels, x: Tensor) -> Tensor:
        x = x.contiguous()
        rows, groups = x.numel() // self.in_features, self.in_features // GROUP
        y = x.new_empty(*x.shape[:-1], self.out_features)
        about = torch.empty(rows * groups, 3)  # a step, a sum and another one of every group
        numbers = torch.empty(rows, self.in_features, dtype=torch.uint8)
        made.int4(
            rows, x.data_ptr(), self.packed.data_ptr(), 0 if self.bias is None else self.bias.data_ptr(), y.data_ptr(),
            numbers.data_ptr(), about.data_ptr(), rows, self.in_features, self.out_features,
        )  # fmt: skip
        return y

    def extra_repr(self) -> str:
        return f"{self.in_features} -> {self.out_features}"


def panels(numbers: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """As our kernel reads them -> (out / 64, in / 32, 1280) bytes: 64 scales, 64 offsets, numbers two to a byte.

    A byte's lower half is of one of four inputs, the upper half of the fourth after it, so that four bytes in a row are four
    inputs of an output each way.
    """
    more = -len(numbers) % TILE_N
    numbers, scale, offset = (F.pad(one, (0, 0, 0, more)).unflatten(0, (-1, TILE_N)) for one in (numbers, scale, offset))
    whole = numbers.unflatten(2, (-1, GROUP // 8, 2, 4))  # panel, output, group, eight inputs, half of them, one of them
    pairs = (whole[..., 0, :] | whole[..., 1, :] << 4).permute(0, 2, 3, 1, 4).flatten(2)
    halves = (one.transpose(1, 2).contiguous().view(torch.uint8) for one in (scale, offset))
    return torch.cat((*halves, pairs), 2).contiguous()
