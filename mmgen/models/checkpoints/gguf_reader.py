"""GGUF files: metadata, and tensors in GGML's blocks, memory-mapped. The format's version 2 and 3, in one file or in parts.

Read here and not by gguf-py's reader, which makes an array of every token: seconds for a large vocabulary.
"""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmgen import gguf_files
from mmgen.errors import BadWeights
from mmgen.models.checkpoints import gguf_header
from mmgen.models.checkpoints.gguf_header import Cursor, Cut
from mmgen.models.quantization.packed_tensor import TYPES, BlockType, PackedTensor

ALIGNMENT = 32  # of tensors, where the metadata does not say otherwise


@dataclass(frozen=True)
class GGUFTensor:
    """Where one tensor lies."""

    name: str
    type: BlockType
    shape: tuple[int, ...]  # as torch has it: rows before columns
    data: np.ndarray  # uint8, all of the file it lies in
    start: int

    @property
    def nbytes(self) -> int:
        return self.type.row_bytes(math.prod(self.shape))

    def blocks(self) -> Tensor:
        """uint8 (..., rows, bytes of a row): a view of the file."""
        columns = self.shape[-1]
        flat = torch.from_numpy(self.data[self.start : self.start + self.nbytes])
        return flat.view(*self.shape[:-1], self.type.row_bytes(columns))

    def packed(self, expert: int | None = None) -> PackedTensor:
        """A matrix in its blocks; `expert`: which of several that lie in one tensor (experts, rows, columns)."""
        blocks = self.blocks() if expert is None else self.blocks()[expert]
        rows, columns = self.shape[-2:]
        return PackedTensor(self.type.name, (rows, columns), blocks)

    def values(self) -> Tensor:
        """float32 of the tensor's shape."""
        blocks = self.blocks()
        flat = PackedTensor(self.type.name, (blocks[..., 0].numel(), self.shape[-1]), blocks.reshape(-1, blocks.shape[-1]))
        return flat.dequantize().view(self.shape)


class GGUFFile:
    """A GGUF file, or all parts of one."""

    def __init__(self, path: Path) -> None:
        """`path`: the file, or any of its parts. Raises BadWeights where it is damaged or a part is missing."""
        self.path = path
        self.metadata: dict[str, Any] = {}
        self.kinds: dict[str, tuple[int, int | None]] = {}  # of the metadata, and of the parts of arrays
        self.tensors: dict[str, GGUFTensor] = {}
        for part in gguf_files.parts(path):
            metadata, kinds, tensors = _read(part)
            self.metadata, self.kinds = self.metadata or metadata, self.kinds or kinds
            for tensor in tensors:
                if tensor.name in self.tensors:
                    raise BadWeights(f"{part} holds {tensor.name} twice; copy or download it again")
                self.tensors[tensor.name] = tensor
        announced = self.metadata.get("split.tensors.count", len(self.tensors))
        if announced != len(self.tensors):
            raise BadWeights(f"{path} and its parts hold {len(self.tensors)} tensors of {announced}; download all parts again")

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    def get(self, key: str, default: Any = None) -> Any:
        """A value of the architecture's own, such as `block_count`."""
        return self.metadata.get(f"{self.architecture}.{key}", default)

    def release(self) -> None:
        """Gives the memory back that mapped parts of the file take; they are read again when asked for."""
        for data in {id(tensor.data): tensor.data for tensor in self.tensors.values()}.values():
            mapped = getattr(data, "_mmap", None)
            if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
                mapped.madvise(mmap.MADV_DONTNEED)

    def need(self, key: str) -> Any:
        """Raises BadWeights where it is missing."""
        name = f"{self.architecture}.{key}"
        if name not in self.metadata:
            raise BadWeights(f"{self.path} lacks {name} in its metadata; it is not whole or no language model")
        return self.metadata[name]


@lru_cache(maxsize=4)
def _opened(path: Path, size: int, modified: int) -> GGUFFile:
    return GGUFFile(path)


def opened(path: Path) -> GGUFFile:
    """The file, read once a process and again when it changes."""
    try:
        status = path.stat()
    except OSError as why:
        raise BadWeights(f"{path} cannot be read ({why.strerror}); check the path") from None
    return _opened(path, status.st_size, status.st_mtime_ns)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, tuple[int, int | None]], list[GGUFTensor]]:
    try:
        data = np.memmap(path, np.uint8, "c")  # nothing is written: torch wants memory that could be
    except (OSError, ValueError) as why:
        raise BadWeights(f"{path} cannot be read ({why}); copy or download it again") from None
    cursor = Cursor(data)
    try:
        count, entries = gguf_header.begun(path, cursor)
        metadata, kinds = gguf_header.metadata(cursor, entries)
        told = [_tensor(path, cursor) for _ in range(count)]
    except Cut:
        raise BadWeights(f"{path} is cut short at {len(data)} bytes; copy or download it again") from None
    except ValueError as why:
        raise BadWeights(f"{path} is damaged: its metadata hold {why}; copy or download it again") from None
    alignment = metadata.get("general.alignment", ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 8 or alignment % 8:
        raise BadWeights(f"{path} is damaged: its alignment is {alignment}, no multiple of 8; copy or download it again")
    base = -(-cursor.at // alignment) * alignment
    tensors = [GGUFTensor(name, kind, shape, data, base + offset) for name, kind, shape, offset in told]
    end = max((tensor.start + tensor.nbytes for tensor in tensors), default=0)
    if end > len(data):
        raise BadWeights(f"{path} is cut short: it has {len(data)} bytes of {end}; copy or download it again")
    return metadata, kinds, tensors


def _tensor(path: Path, cursor: Cursor) -> tuple[str, BlockType, tuple[int, ...], int]:
    name, number, shape, offset = gguf_header.tensor(path, cursor)
    if number not in TYPES:
        known = ", ".join(one.name for one in TYPES.values())
        raise BadWeights(f"{path}: {name} is of GGML's type number {number}, which is not known here ({known})")
    kind = TYPES[number]
    if shape[-1] % kind.values or offset % 8:
        raise BadWeights(f"{path} is damaged: {name} of {shape} does not fit blocks of {kind.name}; copy or download it again")
    return name, kind, shape, offset
