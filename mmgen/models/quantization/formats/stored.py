"""What all formats of rounded matrices have in common: the tensors of one, the numbers in them, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mmgen.errors import BadWeights


@dataclass(frozen=True)
class StoredMatrix:
    """The tensors of one rounded matrix by the ends of their names, such as `.qweight`. Read when asked for."""

    name: str  # of the matrix
    names: Mapping[str, str]  # end -> full name, of those that the file has
    read: Callable[[str], Tensor]
    size: Callable[[str], tuple[int, ...]]

    def __contains__(self, end: str) -> bool:
        return end in self.names

    def __getitem__(self, end: str) -> Tensor:
        """Raises BadWeights where the file lacks it."""
        return self.read(self._full(end))

    def get(self, end: str) -> Tensor | None:
        """None where the file lacks it."""
        return self[end] if end in self.names else None

    def shape(self, end: str) -> tuple[int, ...]:
        return self.size(self._full(end))

    def _full(self, end: str) -> str:
        if end not in self.names:
            raise BadWeights(f"weights hold {self.name} without its {end.strip('._')}; the file is not whole")
        return self.names[end]


class Format(Protocol):
    """How a program stores rounded matrices."""

    @property
    def mark(self) -> str:
        """The end of a name by which a rounded matrix is known."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Ends of the names of its other tensors; a matrix need not have them all."""

    @property
    def target(self) -> str:
        """The end of the full matrix's name, which takes the place of `mark`."""

    def shape(self, stored: StoredMatrix) -> tuple[int, ...]:
        """Of the full matrix."""

    def integers(self, stored: StoredMatrix) -> IntegerMatrix | None:
        """Its numbers and scales; None where they are no integers."""

    def restored(self, stored: StoredMatrix) -> Tensor:
        """The full matrix, float32."""


@dataclass(frozen=True)
class IntegerMatrix:
    """`(numbers - zero) * scale + offset`, where a group of a row's columns shares the last three."""

    numbers: Tensor  # (out, in)
    scale: Tensor  # (out, groups)
    zero: Tensor | None = None  # (out, groups)
    offset: Tensor | None = None  # (out, groups)
    group_of: Tensor | None = None  # (in,), a column's group; None: equal groups, side by side

    def restored(self) -> Tensor:
        """(out, in) float32"""
        out = self.numbers.float()
        if self.zero is not None:
            out -= self.each(self.zero)
        out *= self.each(self.scale)
        return out if self.offset is None else out.add_(self.each(self.offset))

    def each(self, values: Tensor) -> Tensor:
        """(out, groups) -> (out, in), or what broadcasts to it"""
        values = values.float()
        if self.group_of is not None:
            return values[:, self.group_of.long()]
        columns, groups = self.numbers.shape[1], values.shape[1]
        return values if groups == 1 else values.repeat_interleave(-(-columns // groups), 1)[:, :columns]


def unpacked(words: Tensor, bits: int, count: int) -> Tensor:
    """(..., W) int32 -> (..., count) int32: numbers of so many bits one after another, the lowest bits first.

    A number may begin in one word and end in the next, as those of 3, 5 and 6 bits do.
    """
    words, mask = words.view(torch.int32) if words.dtype == torch.uint32 else words, (1 << bits) - 1
    if 32 % bits == 0:
        shifts = torch.arange(0, 32, bits, dtype=torch.int32)
        return ((words[..., None] >> shifts) & mask).flatten(-2)[..., :count]
    place = torch.arange(count) * bits
    wide = torch.nn.functional.pad(words.long() & 0xFFFFFFFF, (0, 1))
    both = wide[..., place // 32] | wide[..., place // 32 + 1] << 32
    return ((both >> place % 32) & mask).int()
