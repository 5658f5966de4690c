"""Matrices of MLX, as mlx-lm writes them: numbers of 2 to 8 bits in uint32, with a scale and an offset for each group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from mmgen.models.quantization.formats.stored import IntegerMatrix, StoredMatrix, unpacked


@dataclass(frozen=True)
class Mlx:
    """`.weight` (..., out, in * bits / 32) uint32, `.scales` and `.biases` (..., out, groups): `number * scale + bias`."""

    group_size: int
    others: Mapping[str, int] = field(default_factory=dict)  # modules whose groups have another size
    mark, parts, target = ".scales", (".weight", ".biases"), ".weight"

    def shape(self, stored: StoredMatrix) -> tuple[int, ...]:
        *rows, words = stored.shape(".weight")
        return (*rows, 32 * words // self._bits(stored))

    def integers(self, stored: StoredMatrix) -> IntegerMatrix | None:
        """None for the experts of a layer in one tensor."""
        return self._integers(stored) if len(stored.shape(".weight")) == 2 else None

    def restored(self, stored: StoredMatrix) -> Tensor:
        return self._integers(stored).restored().view(self.shape(stored))

    def _integers(self, stored: StoredMatrix) -> IntegerMatrix:
        numbers = unpacked(stored[".weight"], self._bits(stored), self.shape(stored)[-1]).flatten(0, -2)
        scale, offset = (stored[end].flatten(0, -2) for end in (self.mark, ".biases"))
        return IntegerMatrix(numbers, scale, offset=offset)

    def _bits(self, stored: StoredMatrix) -> int:
        """Layers may have other bits than the rest: as many as the sizes tell."""
        group = self.others.get(stored.name.removesuffix(self.target), self.group_size)
        return 32 * stored.shape(".weight")[-1] // (stored.shape(self.mark)[-1] * group)
