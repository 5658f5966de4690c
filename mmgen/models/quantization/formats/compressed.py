"""Matrices of compressed-tensors, as llm-compressor writes them: packed integers, int8 and fp8 with scales."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mmgen.models.quantization.formats.fp8 import scaled
from mmgen.models.quantization.formats.stored import IntegerMatrix, StoredMatrix, unpacked

EXTRAS = (".weight_zero_point", ".weight_g_idx", ".input_scale", ".input_zero_point", ".input_global_scale", ".output_scale")
"""Ends of names that may stand beside a matrix; those of activations are not used."""


@dataclass(frozen=True)
class PackedIntegers:
    """`pack-quantized`: `.weight_packed` (out, in * bits / 32) of numbers from 0 on, of which the middle stands for zero."""

    bits: int
    mark, target = ".weight_packed", ".weight"
    parts = (".weight_scale", ".weight_shape", *EXTRAS)

    def shape(self, stored: StoredMatrix) -> tuple[int, ...]:
        if ".weight_shape" in stored:
            return tuple(stored[".weight_shape"].tolist())
        rows, words = stored.shape(self.mark)
        return rows, words * 32 // self.bits

    def integers(self, stored: StoredMatrix) -> IntegerMatrix:
        (outputs, inputs), words, scale = self.shape(stored), stored[self.mark], stored[".weight_scale"]
        middle, dense = 1 << self.bits - 1, words.shape[1] == -(-inputs * self.bits // 32)
        numbers = self._unpacked(words, inputs, dense) - middle
        zero = None
        if ".weight_zero_point" in stored:
            zero = self._unpacked(stored[".weight_zero_point"].t(), outputs, dense).t() - middle
        groups = stored.get(".weight_g_idx")
        if groups is not None and (groups < 0).any():  # written where there is no order of activations
            groups = None
        return IntegerMatrix(numbers, scale.expand(outputs, -1), zero, group_of=groups)

    def restored(self, stored: StoredMatrix) -> Tensor:
        return self.integers(stored).restored()

    def _unpacked(self, words: Tensor, count: int, dense: bool) -> Tensor:
        """Older files leave over what a word has beyond a whole number of numbers, such as 2 bits of 32 where each has 3."""
        if dense:
            return unpacked(words, self.bits, count)
        return unpacked(words[..., None], self.bits, 32 // self.bits).flatten(-2)[..., :count]


@dataclass(frozen=True)
class ScaledMatrices:
    """`int-quantized`, `float-quantized`, `naive-quantized`: `.weight` in int8 or float8 with `.weight_scale`."""

    mark, target = ".weight_scale", ".weight"
    parts = (".weight", *EXTRAS)

    def shape(self, stored: StoredMatrix) -> tuple[int, ...]:
        return stored.shape(".weight")

    def integers(self, stored: StoredMatrix) -> IntegerMatrix | None:
        """None where the numbers are no integers, or scales are not of rows or groups of them."""
        numbers, scale, zero = stored[".weight"], stored[self.mark], stored.get(".weight_zero_point")
        rows = len(numbers)
        if numbers.is_floating_point() or (scale.numel() > 1 and len(scale) != rows):
            return None
        if scale.numel() == 1:
            scale, zero = scale.reshape(1, 1).expand(rows, 1), None if zero is None else zero.reshape(1, 1).expand(rows, 1)
        return IntegerMatrix(numbers, scale, zero)

    def restored(self, stored: StoredMatrix) -> Tensor:
        integers = self.integers(stored)
        return scaled(stored[".weight"], stored[self.mark]) if integers is None else integers.restored()
