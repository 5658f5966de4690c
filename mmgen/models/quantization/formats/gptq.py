"""Matrices of GPTQ and AWQ: numbers of 2 to 8 bits in int32, with a scale and a zero point for each group of inputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmgen.models.quantization.formats.stored import IntegerMatrix, StoredMatrix, unpacked

AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)
"""Where each of eight outputs lies in a word of AWQ's, counted in fours of bits (AutoAWQ's packing_utils.py)."""


@dataclass(frozen=True)
class Gptq:
    """AutoGPTQ's and GPTQModel's `.qweight` (in * bits / 32, out), `.qzeros`, `.scales` (groups, out) and `.g_idx` (in,).

    `g_idx` names each input's group, in any order where the columns were rounded by their activations (`desc_act`).
    """

    bits: int
    group_size: int  # -1: all of a row
    zeros_less_one: bool = True  # as the first version of the format stores zero points
    mark, parts, target = ".qweight", (".qzeros", ".scales", ".g_idx"), ".weight"

    def shape(self, stored: StoredMatrix) -> tuple[int, ...]:
        words, outputs = stored.shape(self.mark)
        return outputs, self._inputs(stored, words)

    def integers(self, stored: StoredMatrix) -> IntegerMatrix:
        words, scale = stored[self.mark], stored[".scales"].t()
        inputs = self._inputs(stored, len(words))
        bits = 32 * len(words) // inputs
        zero = unpacked(stored[".qzeros"], bits, len(scale)).t()
        if self.zeros_less_one:
            zero = (zero + 1) & ((1 << bits) - 1)
        return IntegerMatrix(unpacked(words.t(), bits, inputs), scale, zero, group_of=self._groups(stored, inputs))

    def restored(self, stored: StoredMatrix) -> Tensor:
        return self.integers(stored).restored()

    def _inputs(self, stored: StoredMatrix, words: int) -> int:
        """Layers may have other bits than the rest; how many follows from the inputs that `g_idx` counts."""
        return stored.shape(".g_idx")[0] if ".g_idx" in stored else 32 * words // self.bits

    def _groups(self, stored: StoredMatrix, inputs: int) -> Tensor:
        if ".g_idx" in stored:
            return stored[".g_idx"]
        return torch.arange(inputs) // (inputs if self.group_size < 1 else self.group_size)


@dataclass(frozen=True)
class Awq:
    """AutoAWQ's `gemm`: `.qweight` (in, out / 8), `.qzeros` (groups, out / 8) and `.scales` (groups, out), 4 bits."""

    mark, parts, target = ".qweight", (".qzeros", ".scales"), ".weight"

    def shape(self, stored: StoredMatrix) -> tuple[int, ...]:
        inputs, words = stored.shape(self.mark)
        return 8 * words, inputs

    def integers(self, stored: StoredMatrix) -> IntegerMatrix:
        return IntegerMatrix(_awq(stored[self.mark]).t(), stored[".scales"].t(), _awq(stored[".qzeros"]).t())

    def restored(self, stored: StoredMatrix) -> Tensor:
        return self.integers(stored).restored()


def _awq(words: Tensor) -> Tensor:
    """(rows, out / 8) -> (rows, out)"""
    eights: Tensor = unpacked(words, 4, 8 * words.shape[1]).unflatten(1, (-1, 8))
    return eights[..., list(AWQ_ORDER)].flatten(1)
