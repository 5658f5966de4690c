"""Matrices of 4-bit floats (E2M1), two a byte, the lower half first: MXFP4 (OCP Microscaling, 2023) and NVFP4."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmgen.models.quantization.formats.fp8 import scaled
from mmgen.models.quantization.formats.stored import StoredMatrix

VALUES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)
"""E2M1: what each of the sixteen numbers stands for."""


def values(pairs: Tensor) -> Tensor:
    """(..., n) uint8 -> (..., 2 n) float32"""
    table, pairs = torch.tensor(VALUES), pairs.view(torch.uint8)
    return torch.stack((table[(pairs & 15).long()], table[(pairs >> 4).long()]), -1).flatten(-2)


@dataclass(frozen=True)
class Mxfp4Experts:
    """gpt-oss: `_blocks` (E, out, groups, 16) uint8 and `_scales` (E, out, groups), exponents of 2 -> (E, in, out)."""

    mark, parts, target = "_blocks", ("_scales",), ""

    def shape(self, stored: StoredMatrix) -> tuple[int, ...]:
        *experts, rows, groups, half = stored.shape(self.mark)
        return (*experts, 2 * half * groups, rows)

    def integers(self, stored: StoredMatrix) -> None:
        return None

    def restored(self, stored: StoredMatrix) -> Tensor:
        scale = torch.exp2(stored["_scales"].float() - 127)
        return (values(stored[self.mark]) * scale[..., None]).flatten(-2).transpose(-1, -2).contiguous()


@dataclass(frozen=True)
class PackedFloat4:
    """compressed-tensors' `nvfp4-pack-quantized` and `mxfp4-pack-quantized`, and ModelOpt's NVFP4.

    uint8 (out, in / 2) with `.weight_scale` (out, groups), and for all of it a scale that divides (`.weight_global_scale`) or
    multiplies (`.weight_scale_2`).
    """

    mark: str = ".weight_packed"
    target = ".weight"
    parts = (
        ".weight", ".weight_scale", ".weight_global_scale", ".weight_scale_2", ".input_global_scale", ".input_scale",
    )  # fmt: skip

    def shape(self, stored: StoredMatrix) -> tuple[int, ...]:
        *rows, half = stored.shape(self._numbers)
        return (*rows, 2 * half)

    def integers(self, stored: StoredMatrix) -> None:
        return None

    def restored(self, stored: StoredMatrix) -> Tensor:
        out = scaled(values(stored[self._numbers]), stored[".weight_scale"])
        if ".weight_global_scale" in stored:
            return out / stored[".weight_global_scale"].float()
        return out * stored[".weight_scale_2"].float() if ".weight_scale_2" in stored else out

    @property
    def _numbers(self) -> str:
        return ".weight_packed" if self.mark == ".weight_packed" else ".weight"
