"""A checkpoint whose weights another program rounded, read as if they were whole: a matrix at a time, when it is asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.convert import Checkpoint
from mmgen.models.checkpoints.quantization_config import QuantizedWeights
from mmgen.models.quantization import exact_blocks
from mmgen.models.quantization.formats.compressed import ScaledMatrices
from mmgen.models.quantization.formats.fp8 import Float8
from mmgen.models.quantization.formats.stored import Format, StoredMatrix
from mmgen.models.quantization.packed_tensor import PackedTensor

log = logging.getLogger(__name__)
UNUSED = ("k_scale", "v_scale", "kv_scale", "q_scale", "k_zero_point", "v_zero_point")
"""Ends of names of scales for a KV cache in fewer bits: ours is kept in full."""

_told: set[Path] = set()


class DequantizedTensors(Checkpoint):
    """Names and shapes are those of the full weights; a rounded one is restored as float32."""

    def __init__(self, folder: Path, kind: QuantizedWeights, values: Mapping[str, Any]) -> None:
        """`values`: config.json. Raises BadWeights where a file is missing or damaged."""
        super().__init__(folder)
        self.kind, self._values = kind, values
        self.stored: dict[str, tuple[Format, StoredMatrix]] = {}  # full name -> how it is stored
        used: set[str] = set()
        for form in kind.formats:
            for name in self.files:
                if name.endswith(form.mark) and name not in used:
                    matrix = self._matrix(form, name.removesuffix(form.mark))
                    self.stored[matrix.name] = form, matrix
                    used.update(matrix.names.values())
        rest = [name for name in self.files if name not in used and not name.endswith(UNUSED)]
        self.names = dict.fromkeys([*rest, *self.stored])

    def _matrix(self, form: Format, start: str) -> StoredMatrix:
        ends = [end for end in (form.mark, *form.parts) if start + end in self.files]
        names = {end: start + end for end in ends}
        return StoredMatrix(start + form.target, names, super().__getitem__, super().shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def shape(self, name: str) -> tuple[int, ...]:
        if name not in self.stored:
            return super().shape(name)
        form, matrix = self.stored[name]
        return tuple(form.shape(matrix))

    def __getitem__(self, name: str) -> Tensor:
        """Raises BadWeights where parts of a rounded matrix are missing or do not fit."""
        if name not in self.stored:
            return super().__getitem__(name)
        form, matrix = self.stored[name]
        self._tell()
        try:
            return form.restored(matrix)
        except (RuntimeError, IndexError, KeyError) as why:
            reason = " ".join(str(why).split())[:160]
            raise BadWeights(f"{self.folder}: {name} is rounded as {self.kind.method} does not do ({reason})") from None

    def packed(self, name: str) -> PackedTensor | None:
        """A matrix of integers or float8 in GGUF's blocks, where these hold exactly its values."""
        if name not in self.stored:
            return None
        form, matrix = self.stored[name]
        integers = form.integers(matrix)
        if integers is not None:
            return exact_blocks.blocks(integers)
        if isinstance(form, Float8 | ScaledMatrices):
            return exact_blocks.floats(matrix[".weight"], matrix[form.mark])
        return None

    @property
    def bytes_in_full(self) -> int:
        """Of all weights in float32."""
        return sum(4 * torch.Size(self.shape(name)).numel() for name in self.names)

    def _tell(self) -> None:
        """Once a folder: memory for full weights is more than their files take."""
        if self.folder not in _told:
            _told.add(self.folder)
            log.warning("%s: weights of %s are restored in full as they are loaded", self.folder, self.kind.method)

    @property
    def dtype(self) -> torch.dtype:
        """What config.json says the model computes in."""
        told = self._values.get("dtype") or self._values.get("torch_dtype")
        dtype = getattr(torch, str(told), None)
        return dtype if isinstance(dtype, torch.dtype) else torch.float32
