"""Matrices that stay in GGUF's blocks in memory, and products with them. Knows types of blocks; not layers or files."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgen.models.cpu import huge_pages
from mmgen.models.cpu.kernels import FIXED_BYTES, FIXED_GROUP, Kernels, kernels
from mmgen.models.cpu.structs import BlockPart
from mmgen.models.quantization.packed_tensor import TYPES, PackedTensor

ROWS = 2048
"""That are dequantized at once where there is no kernel."""
NUMBERS = {kind.name: number for number, kind in TYPES.items()}
EXACT, BF16, FAST = 3, 2, 1
"""Bytes that a kernel makes of an input: as exact as fp32; bfloat16, where weights are too; or int8 as llama.cpp's. See
cpu/blocks.c."""


class BlockMatrix(nn.Module):
    """One or several packed tensors, one below the other, as one matrix (outputs, inputs); on a CPU, for inference.

    With a kernel they are laid out anew, panel by panel, in as many bytes (Q4_K and Q5_K: 3% more). Without one, and where a
    type or a width is not the kernel's, the blocks are kept as they came and some rows at a time are dequantized.
    """

    def __init__(self, tensors: Sequence[PackedTensor]) -> None:
        """`tensors`: of one width. They are copied, so that a file that they are views of can be closed."""
        super().__init__()
        assert len({tensor.shape[1] for tensor in tensors}) == 1, "parts of one matrix are equally wide"
        assert alike(tensors), "parts of one matrix have their columns in one order"
        self.outputs, self.inputs = sum(tensor.shape[0] for tensor in tensors), tensors[0].shape[1]
        self.types, self.sizes = [tensor.type for tensor in tensors], [tensor.shape[0] for tensor in tensors]
        self.planes = EXACT
        made = kernels()
        self.kernels = made if made is not None and all(_bytes(made, tensor) for tensor in tensors) else None
        for number, tensor in enumerate(tensors):
            blocks = tensor.blocks.clone() if self.kernels is None else _panels(self.kernels, tensor)
            self.register_buffer(f"blocks{number}", blocks, persistent=False)
        self._parts: Any = None
        self.columns, self.factors = tensors[0].columns, _factors(tensors)

    @property
    def blocks(self) -> list[Tensor]:
        """Of each tensor; they may be replaced when weights leave and come back."""
        return [buffer for buffer in self._buffers.values() if buffer is not None]

    def parts(self) -> Any:
        """An array of BlockPart, as blocks.c reads it: valid for as long as this matrix and its blocks are."""
        found = self._parts
        if found is None or any(part.panels != one.data_ptr() for part, one in zip(found, self.blocks, strict=True)):
            about = zip(self.types, self.sizes, self.blocks, strict=True)
            made = [BlockPart(NUMBERS[kind], size, blocks.data_ptr()) for kind, size, blocks in about]
            self._parts = found = (BlockPart * len(made))(*made)
        return found

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """`x W' + bias`, (..., inputs) -> (..., outputs) in x's dtype; `bias` in float32.

        With a kernel a row's result is the same, to the bit, whatever other rows there are.
        """
        if self.columns is not None:
            x = x[..., self.columns]
        if self.factors is not None:
            y = self._product(x, None).float() * self.factors
            return (y if bias is None else y + bias).to(x.dtype)
        return self._product(x, bias)

    @property
    def plain(self) -> bool:
        """Whether its blocks are all there is to it."""
        return self.columns is None and self.factors is None

    def _product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        plain = x.float().contiguous()
        rows, y = plain.numel() // self.inputs, plain.new_empty(*x.shape[:-1], self.outputs)
        if self.kernels is None:
            start = 0
            for some in self._dequantized():
                own = slice(start, start + len(some))
                y[..., own] = F.linear(plain, some, None if bias is None else bias[own])
                start += len(some)
        elif rows:
            room = torch.empty(rows * (self.inputs // FIXED_GROUP) * FIXED_BYTES, dtype=torch.uint8)
            self.kernels.blocks(
                rows, plain.data_ptr(), ctypes.addressof(self.parts()), 0 if bias is None else bias.data_ptr(), y.data_ptr(),
                room.data_ptr(), len(self.sizes), rows, self.inputs, self.planes,
            )  # fmt: skip
        return y.to(x.dtype)

    def rows(self, ids: Tensor) -> Tensor:
        """float32 (*ids.shape, inputs): these rows with the values that gguf-py gives. Raises IndexError."""
        flat, start = ids.reshape(-1), 0
        assert self.plain, "vectors of words are not stored so"
        if (numbers := flat.tolist()) and not 0 <= min(numbers) <= max(numbers) < self.outputs:
            raise IndexError(f"rows are 0 to {self.outputs - 1}, not {min(numbers)} to {max(numbers)}")
        if len(self.sizes) == 1:
            return self._unpacked(0, flat.contiguous()).view(*ids.shape, self.inputs)
        y = torch.empty(len(flat), self.inputs)
        for part, size in enumerate(self.sizes):
            mine = (flat >= start) & (flat < start + size)
            y[mine] = self._unpacked(part, flat[mine] - start)
            start += size
        return y.view(*ids.shape, self.inputs)

    def _unpacked(self, part: int, ids: Tensor) -> Tensor:
        if self.kernels is None:
            return PackedTensor(self.types[part], (len(ids), self.inputs), self.blocks[part][ids]).dequantize()
        y = torch.empty(len(ids), self.inputs)
        self.kernels.unpack_blocks(ctypes.addressof(self.parts()[part]), ids.data_ptr(), y.data_ptr(), len(ids), self.inputs)
        return y

    def _dequantized(self) -> Iterator[Tensor]:
        """All rows, some at a time."""
        for kind, blocks in zip(self.types, self.blocks, strict=True):
            for some in blocks.split(ROWS):
                yield PackedTensor(kind, (len(some), self.inputs), some).dequantize()

    def extra_repr(self) -> str:
        return f"{self.inputs} -> {self.outputs}, {', '.join(self.types)}"


def alike(tensors: Sequence[PackedTensor]) -> bool:
    """Whether they have their columns in one order."""
    first = tensors[0].columns
    return all(
        one.columns is None if first is None else one.columns is not None and torch.equal(one.columns, first) for one in tensors
    )


def _factors(tensors: Sequence[PackedTensor]) -> Tensor | None:
    """(outputs,) of all; None: there are none."""
    if all(one.factors is None for one in tensors):
        return None
    return torch.cat([torch.ones(one.shape[0]) if one.factors is None else one.factors for one in tensors])


def reads(tensor: PackedTensor) -> bool:
    """Whether such blocks are multiplied as they are: by a kernel, or where there is none a piece at a time."""
    made = kernels()
    return tensor.type != "F32" and (made is None or bool(_bytes(made, tensor)))


def _bytes(made: Kernels, tensor: PackedTensor) -> int:
    """Of the panels; 0: the kernels do not read such blocks."""
    return int(made.blocks_bytes(NUMBERS[tensor.type], *tensor.shape))


def _panels(made: Kernels, tensor: PackedTensor) -> Tensor:
    panels, blocks = huge_pages.zeros(_bytes(made, tensor)), tensor.blocks.contiguous()
    made.pack_blocks(blocks.data_ptr(), panels.data_ptr(), NUMBERS[tensor.type], *tensor.shape, blocks.shape[1])
    return panels
