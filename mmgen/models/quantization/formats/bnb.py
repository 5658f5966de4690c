"""Matrices of bitsandbytes: LLM.int8() (Dettmers et al. 2022), and NF4 and FP4 with double quantization (QLoRA, 2023)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmgen.errors import BadWeights
from mmgen.models.quantization.formats.stored import IntegerMatrix, StoredMatrix

STATES = tuple(f".weight.quant_state.bitsandbytes__{kind}" for kind in ("nf4", "fp4"))


@dataclass(frozen=True)
class Int8Rows:
    """`.weight` (out, in) int8 and `.SCB` (out,): the largest of each row, for which 127 stands."""

    mark, parts, target = ".SCB", (".weight", ".weight_format"), ".weight"

    def shape(self, stored: StoredMatrix) -> tuple[int, ...]:
        return stored.shape(".weight")

    def integers(self, stored: StoredMatrix) -> IntegerMatrix:
        return IntegerMatrix(stored[".weight"], stored[self.mark][:, None].float() / 127)

    def restored(self, stored: StoredMatrix) -> Tensor:
        return self.integers(stored).restored()


@dataclass(frozen=True)
class Blocks4:
    """`.weight` uint8, two numbers a byte, the upper half first; they choose from `.quant_map`, times `.absmax` a block.

    The largest values of the blocks may be rounded themselves: numbers that choose from `.nested_quant_map`, times
    `.nested_absmax` a block of those, plus an offset.
    """

    mark, target = ".weight.absmax", ".weight"
    parts = (".weight", ".weight.quant_map", ".weight.nested_absmax", ".weight.nested_quant_map", *STATES)

    def shape(self, stored: StoredMatrix) -> tuple[int, ...]:
        return tuple(self._state(stored)["shape"])

    def integers(self, stored: StoredMatrix) -> None:
        return None

    def restored(self, stored: StoredMatrix) -> Tensor:
        state, pairs = self._state(stored), stored[".weight"].flatten().view(torch.uint8)
        numbers = torch.stack((pairs >> 4, pairs & 15), 1).flatten()
        largest = stored[self.mark]
        if ".weight.nested_absmax" in stored:
            nested = stored[".weight.nested_quant_map"].float()[largest.long()]
            largest = _times(nested, stored[".weight.nested_absmax"], state["nested_blocksize"]) + state["nested_offset"]
        count = torch.Size(state["shape"]).numel()
        values = stored[".weight.quant_map"].float()[numbers.long()][:count]
        return _times(values, largest, state["blocksize"]).view(state["shape"])

    def _state(self, stored: StoredMatrix) -> dict[str, Any]:
        """Shape and sizes of blocks, JSON in a tensor of bytes."""
        for end in STATES:
            if end in stored:
                try:
                    return dict(json.loads(bytes(stored[end].tolist())))
                except ValueError:
                    break
        raise BadWeights(f"weights hold {stored.name} in 4 bits without its quant_state; the file is not whole")


def _times(values: Tensor, scales: Tensor, size: int) -> Tensor:
    """(N,) times a scale for every `size` of them; the last block may be shorter."""
    return values * scales.float().repeat_interleave(size)[: len(values)]
