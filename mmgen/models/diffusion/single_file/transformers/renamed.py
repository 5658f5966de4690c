"""A file's tensors under the names of diffusers: renamed, and rows of fused matrices taken apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmgen.errors import BadWeights
from mmgen.models.diffusion.single_file.gguf import GGUFSingleFile, Packing
from mmgen.models.diffusion.single_file.tensors import SingleFile
from mmgen.models.quantization.packed_tensor import PackedTensor


@dataclass(frozen=True)
class Rows:
    """Rows of a tensor: each span from one `of`-th part of them to another, one after another."""

    name: str
    spans: tuple[tuple[int, int], ...] = ((0, 1),)
    of: int = 1

    @property
    def whole(self) -> bool:
        return self.spans == ((0, self.of),)

    def count(self, rows: int) -> int:
        return sum(rows * end // self.of - rows * begin // self.of for begin, end in self.spans)


Renaming = Callable[[str], Rows]
"""A tensor of diffusers -> where it is in the file, behind the file's prefix."""


def same(name: str) -> Rows:
    return Rows(name)


def swapped(name: str) -> Rows:
    """Both halves changed: shift and scale stand in the other order in diffusers."""
    return Rows(name, ((1, 2), (0, 1)), 2)


class RenamedTensors:
    """The tensors behind a prefix, by diffusers' names."""

    def __init__(self, file: SingleFile, prefix: str, renaming: Renaming) -> None:
        self.file, self.prefix, self.renaming = file, prefix, renaming

    def has(self, name: str) -> bool:
        return self.prefix + self.renaming(name).name in self.file.shapes

    def shape(self, name: str) -> tuple[int, ...]:
        """Raises BadWeights where it is missing."""
        rows = self.renaming(name)
        first, *rest = self.file.shape(self.prefix + rows.name)
        return rows.count(first), *rest

    def levels(self, pattern: str) -> int:
        """How many numbers from 0 on the pattern, with `{}`, is a tensor for."""
        number = 0
        while self.has(pattern.format(number)):
            number += 1
        return number

    def get(self, name: str) -> Tensor:
        """fp32. Raises BadWeights where it is missing or no number."""
        rows = self.renaming(name)
        tensor = self.file.get(self.prefix + rows.name)
        if rows.whole:
            return tensor
        count = len(tensor)
        return torch.cat([tensor[count * begin // rows.of : count * end // rows.of] for begin, end in rows.spans])

    def packed(self, name: str) -> list[PackedTensor | None]:
        """The spans of a matrix in their blocks; None for what is no matrix in a GGUF file."""
        assert isinstance(self.file, GGUFSingleFile)
        rows = self.renaming(name)
        whole = self.file.packed(self.prefix + rows.name)
        if whole is None:
            return [None]
        count = whole.shape[0]
        return [whole.rows(slice(count * begin // rows.of, count * end // rows.of)) for begin, end in rows.spans]

    def fill(self, module: nn.Module, packing: Packing | None = None) -> None:
        """Every weight and stored buffer of a module, in the module's own precision; or with `packing` in its blocks.

        Raises BadWeights for a tensor that is missing, of another shape, or left over.
        """
        for name, weight in sorted(module.state_dict(keep_vars=True).items()):  # a layer's bias before its weight
            shape, own = self.shape(name), tuple(weight.shape)
            if math.prod(shape) != weight.numel() or shape[0] != own[0]:
                theirs, ours = (" x ".join(map(str, one)) for one in (shape, own))
                where = f"{self.file.path}: {self.prefix}{self.renaming(name).name}"
                raise BadWeights(f"{where} is {theirs} and not {ours}, so it is of another model")
            if packing is not None and packing.take(module, name, self.packed(name)):
                self.file.read.add(self.prefix + self.renaming(name).name)
                continue
            weight.data.copy_(self.get(name).view(own))
        if packing is not None:
            packing.tell()
        self.file.check_all_read(self.prefix, type(module).__name__)
