"""Matrices in float8 with a scale for a tensor, a row or a block of it: DeepSeek's, Qwen's, FBGEMM's, ModelOpt's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmgen.errors import BadWeights
from mmgen.models.quantization.formats.stored import StoredMatrix


@dataclass(frozen=True)
class Float8:
    """`.weight` (out, in) in float8, and a scale that is multiplied into it: `.weight_scale_inv` or `.weight_scale`."""

    mark: str = ".weight_scale_inv"
    block: tuple[int, int] | None = None  # rows and columns that share a scale; None: as many as there are for each
    parts, target = (".weight", ".activation_scale", ".input_scale"), ".weight"

    def shape(self, stored: StoredMatrix) -> tuple[int, ...]:
        return stored.shape(".weight")

    def integers(self, stored: StoredMatrix) -> None:
        return None

    def restored(self, stored: StoredMatrix) -> Tensor:
        return scaled(stored[".weight"], stored[self.mark], self.block)


def scaled(weight: Tensor, scale: Tensor, block: tuple[int, int] | None = None) -> Tensor:
    """(..., out, in) times a scale each, each row, or each block of (..., rows, columns) -> float32.

    Scales in uint8 are exponents of 2 (E8M0). Raises BadWeights for scales that do not fit.
    """
    if scale.dtype == torch.uint8:
        scale = torch.exp2(scale.float() - 127)
    scale, whole = scale.float(), weight.float()
    if scale.numel() == 1:
        return whole * scale.reshape(())
    if scale.dim() == weight.dim() - 1:  # one a row
        scale = scale[..., None]
    for dim in (-2, -1):
        size, blocks = whole.shape[dim], scale.shape[dim]
        each = block[dim] if block else -(-size // blocks)
        if blocks not in (1, -(-size // each)):
            raise BadWeights(f"scales of shape {tuple(scale.shape)} do not fit a matrix of {tuple(weight.shape)}")
        if blocks > 1:
            scale = scale.repeat_interleave(each, dim).narrow(dim, 0, size)
    return whole * scale
