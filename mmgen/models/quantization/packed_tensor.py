"""Matrices as GGUF files hold them: rows of blocks, each with its scales and its numbers in a few bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor


class BlockType(NamedTuple):
    """One of GGML's types of numbers."""

    name: str
    values: int  # in a block
    nbytes: int  # of a block

    def row_bytes(self, columns: int) -> int:
        """Of a row; `columns` must be a multiple of `values`."""
        return columns // self.values * self.nbytes


TYPES = {
    number: BlockType(name, values, nbytes)
    for number, name, values, nbytes in (
        (0, "F32", 1, 4), (1, "F16", 1, 2), (2, "Q4_0", 32, 18), (3, "Q4_1", 32, 20), (6, "Q5_0", 32, 22), (7, "Q5_1", 32, 24),
        (8, "Q8_0", 32, 34), (9, "Q8_1", 32, 40), (10, "Q2_K", 256, 84), (11, "Q3_K", 256, 110), (12, "Q4_K", 256, 144),
        (13, "Q5_K", 256, 176), (14, "Q6_K", 256, 210), (15, "Q8_K", 256, 292), (16, "IQ2_XXS", 256, 66),
        (17, "IQ2_XS", 256, 74), (18, "IQ3_XXS", 256, 98), (19, "IQ1_S", 256, 50), (20, "IQ4_NL", 32, 18),
        (21, "IQ3_S", 256, 110), (22, "IQ2_S", 256, 82), (23, "IQ4_XS", 256, 136), (24, "I8", 1, 1), (25, "I16", 1, 2),
        (26, "I32", 1, 4), (27, "I64", 1, 8), (28, "F64", 1, 8), (29, "IQ1_M", 256, 56), (30, "BF16", 1, 2),
        (34, "TQ1_0", 256, 54), (35, "TQ2_0", 256, 66), (39, "MXFP4", 32, 17),
    )
}  # fmt: skip
"""By the number that stands in a file."""
BY_NAME = {one.name: one for one in TYPES.values()}


@dataclass(frozen=True, eq=False)
class PackedTensor:
    """A matrix in GGUF's blocks. Rows stand apart, so that some of them can be taken, or others put below."""

    type: str  # GGUF's name, such as Q4_K
    shape: tuple[int, int]
    blocks: Tensor  # uint8 (rows, bytes of a row), most often a view of a memory-mapped file: read only
    factors: Tensor | None = None  # (rows,) float32 that values of a row are multiplied by, where blocks cannot say it exactly
    columns: Tensor | None = None  # (columns,) the blocks hold these columns in this order; None: in their own

    def rows(self, index: Tensor | slice) -> PackedTensor:
        """These rows in this order: a copy, or with a slice a view."""
        blocks = self.blocks[index]
        factors = None if self.factors is None else self.factors[index]
        return replace(self, shape=(len(blocks), self.shape[1]), blocks=blocks, factors=factors)

    def dequantize(self) -> Tensor:
        """float32 (rows, columns), the values that gguf-py gives."""
        values = self._values()
        if self.factors is not None:
            values = values * self.factors[:, None]
        return values if self.columns is None else values[:, self.columns.argsort()]

    def _values(self) -> Tensor:
        plain = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
        if self.type in plain:
            return self.blocks.contiguous().view(plain[self.type]).float()
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize

        values = dequantize(self.blocks.contiguous().numpy(), GGMLQuantizationType[self.type])
        return torch.from_numpy(values).view(self.shape)


def joined(parts: Sequence[PackedTensor]) -> PackedTensor | None:
    """One below the other as one matrix; None where they are of several types."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if any(part.type != first.type for part in parts):
        return None
    blocks = torch.cat([part.blocks for part in parts])
    return replace(first, shape=(len(blocks), first.shape[1]), blocks=blocks)
