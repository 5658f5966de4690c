"""Matrices of integers from other programs in GGUF's blocks, where these say the same: our kernels multiply from them."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgen.models.quantization.formats.stored import IntegerMatrix
from mmgen.models.quantization.packed_tensor import PackedTensor

BLOCK = 32
"""Columns that share a scale."""


def blocks(matrix: IntegerMatrix) -> PackedTensor | None:
    """The same numbers times the same scales: not one value differs. None where no type of blocks can say that.

    That is so where groups are no multiples of 32 columns side by side (as with act-order), or a scale is no fp16.
    """
    outputs, inputs = matrix.numbers.shape
    groups = matrix.scale.shape[1]
    if inputs % groups or inputs // groups % BLOCK or not _side_by_side(matrix.group_of, inputs, groups):
        return None
    numbers = matrix.numbers.int() - (0 if matrix.zero is None else matrix.each(matrix.zero).int())
    kind, shift = _kind(int(numbers.min()), int(numbers.max()), matrix.offset is not None)
    steps = [_halves(one, inputs // groups) for one in (matrix.scale, matrix.offset) if one is not None]
    if not kind or any(one is None for one in steps):
        return None
    head = torch.cat([one.view(torch.uint8).view(outputs, -1, 2) for one in steps if one is not None], 2)
    packed = _bytes((numbers + shift).view(outputs, -1, BLOCK), kind)
    return PackedTensor(kind, (outputs, inputs), torch.cat((head, packed), 2).flatten(1).contiguous())


def _kind(least: int, most: int, offset: bool) -> tuple[str, int]:
    """The smallest type that holds such numbers, and what it adds to them; "": there is none."""
    types = (
        [("Q4_1", 0, 15, 0), ("Q5_1", 0, 31, 0)]
        if offset
        else [("Q4_0", -8, 7, 8), ("Q5_0", -16, 15, 16), ("Q8_0", -128, 127, 0)]
    )
    return next(((kind, shift) for kind, low, high, shift in types if low <= least and most <= high), ("", 0))


def _side_by_side(group_of: Tensor | None, inputs: int, groups: int) -> bool:
    return group_of is None or torch.equal(group_of.long(), torch.arange(inputs) // (inputs // groups))


def _halves(values: Tensor, columns: int) -> Tensor | None:
    """(out, groups) of so many columns -> (out, in / 32) in fp16; None where that is not exact."""
    halves = values.half()
    if not torch.equal(halves.float(), values.float()):
        return None
    return halves.repeat_interleave(columns // BLOCK, 1).contiguous()


def _bytes(numbers: Tensor, kind: str) -> Tensor:
    """(out, blocks, 32) from 0 on, for Q8_0 signed -> (out, blocks, bytes): GGML's block_q4_0, block_q5_0, block_q8_0."""
    if kind == "Q8_0":
        return numbers.to(torch.int8).view(torch.uint8)
    low = (numbers & 15).to(torch.uint8)
    pairs = low[..., :16] | low[..., 16:] << 4
    if kind.startswith("Q4"):
        return pairs
    bits = (numbers >> 4).to(torch.uint8).unflatten(2, (4, 8))  # the fifth bit of each number, 32 in a row
    return torch.cat(((bits << torch.arange(8, dtype=torch.uint8)).sum(3, dtype=torch.uint8), pairs), 2)
