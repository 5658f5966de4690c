"""Matrices of other programs in GGUF's blocks, where these say the same: our kernels multiply from them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mmgen.models.quantization.formats.stored import IntegerMatrix
from mmgen.models.quantization.packed_tensor import PackedTensor

BLOCK = 32
"""Columns that share a scale."""


def blocks(matrix: IntegerMatrix) -> PackedTensor | None:
    """The same numbers times the same scales: not one value differs. None where no type of blocks can say that.

    That is so where groups are no multiples of 32 columns, or where scales have more digits than fp16 and are not one a row.
    Columns are brought in the order of their groups (as with act-order).
    """
    outputs, inputs = matrix.numbers.shape
    groups = matrix.scale.shape[1]
    if inputs % groups or inputs // groups % BLOCK:
        return None
    columns = _order(matrix.group_of, inputs, groups)
    if columns is not None and not len(columns):
        return None
    numbers = matrix.numbers.int() - (0 if matrix.zero is None else matrix.each(matrix.zero).int())
    numbers = numbers if columns is None else numbers[:, columns]
    factors = _factors(matrix)
    matrix = matrix if factors is None else _divided(matrix, factors)
    kind, shift = _kind(int(numbers.min()), int(numbers.max()), matrix.offset is not None)
    steps = [_halves(one, inputs // groups) for one in (matrix.scale, matrix.offset) if one is not None]
    if not kind or any(one is None for one in steps):
        return None
    head = torch.cat([one.view(torch.uint8).view(outputs, -1, 2) for one in steps if one is not None], 2)
    packed = _bytes((numbers + shift).view(outputs, -1, BLOCK), kind)
    whole = torch.cat((head, packed), 2).flatten(1).contiguous()
    return PackedTensor(kind, (outputs, inputs), whole, factors, columns)


def floats(numbers: Tensor, scale: Tensor) -> PackedTensor | None:
    """(out, in) in float8 times one scale for all or for each row. None for another dtype or other scales."""
    rows = len(numbers)
    one_a_row = scale.numel() == 1 or tuple(scale.shape) in ((rows,), (rows, 1))
    if numbers.dtype not in (torch.float8_e4m3fn, torch.float8_e5m2) or numbers.dim() != 2 or not one_a_row:
        return None
    if not scale.is_floating_point():
        return None
    halves = numbers.to(torch.bfloat16).contiguous()  # which has more digits, and reaches further
    factors = scale.float().reshape(-1).expand(rows).contiguous()
    return PackedTensor("BF16", (numbers.shape[0], numbers.shape[1]), halves.view(torch.uint8), factors)


def _factors(matrix: IntegerMatrix) -> Tensor | None:
    """(out,) what scales are divided by so that fp16 can say them: all of a single one, or a power of two. None: nothing."""
    scale = matrix.scale.float()
    if torch.equal(scale.half().float(), scale):
        return None
    if scale.shape[1] == 1 and matrix.offset is None:
        return scale[:, 0].contiguous()
    return torch.exp2(scale.abs().amax(1).clamp(min=1e-30).log2().floor())


def _divided(matrix: IntegerMatrix, factors: Tensor) -> IntegerMatrix:
    offset = None if matrix.offset is None else matrix.offset.float() / factors[:, None]
    return replace(matrix, scale=matrix.scale.float() / factors[:, None], offset=offset)


def _kind(least: int, most: int, offset: bool) -> tuple[str, int]:
    """The smallest type that holds such numbers, and what it adds to them; "": there is none."""
    types = (
        [("Q4_1", 0, 15, 0), ("Q5_1", 0, 31, 0)]
        if offset
        else [("Q4_0", -8, 7, 8), ("Q5_0", -16, 15, 16), ("Q8_0", -128, 127, 0)]
    )
    return next(((kind, shift) for kind, low, high, shift in types if low <= least and most <= high), ("", 0))


def _order(group_of: Tensor | None, inputs: int, groups: int) -> Tensor | None:
    """(in,) the columns by their groups; None: they are so already. Empty: groups are not of equal size."""
    side_by_side = torch.arange(inputs) // (inputs // groups)
    if group_of is None or torch.equal(group_of.long(), side_by_side):
        return None
    order = group_of.long().argsort(stable=True)
    return order if torch.equal(group_of.long()[order], side_by_side) else order[:0]


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
