"""A GGUF file as a checkpoint: tensors under Hugging Face's names, dequantized or in their blocks, and a config.json."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmgen.models.checkpoints import gguf_config, gguf_reader, mistral_native
from mmgen.models.checkpoints.convert import Checkpoint
from mmgen.models.checkpoints.gguf_reader import GGUFFile
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.quantization.packed_tensor import PackedTensor

PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class GGUFCheckpoint(Checkpoint):
    """Tensors are read when asked for, as float32, or in blocks by `packed`."""

    def __init__(self, file: GGUFFile) -> None:
        """Raises BadWeights for an architecture that we do not have."""
        self.file, self.folder = file, file.path
        self.sources = gguf_config.sources(file)

    def __iter__(self) -> Iterator[str]:
        return iter(self.sources)

    def __contains__(self, name: object) -> bool:
        return name in self.sources

    def shape(self, name: str) -> tuple[int, ...]:
        source = self.sources[name]
        whole = self.file.tensors[source.name].shape
        return whole if source.expert is None else whole[1:]

    def __getitem__(self, name: str) -> Tensor:
        source = self.sources[name]
        tensor = self.file.tensors[source.name]
        if len(self.shape(name)) == 2:
            return self.packed(name).dequantize()
        values = tensor.values() if source.expert is None else tensor.values()[source.expert]
        if source.heads:  # a bias
            values = values[in_halves(len(values), source.heads)]
        return values - 1 if source.plus_one else values

    def packed(self, name: str) -> PackedTensor:
        """A matrix as the file has it, its rows in our order: for layers that multiply straight from blocks."""
        source = self.sources[name]
        packed = self.file.tensors[source.name].packed(source.expert)
        return packed.rows(in_halves(packed.shape[0], source.heads)) if source.heads else packed

    @property
    def dtype(self) -> torch.dtype:
        """Of the largest tensor; bfloat16 where that is quantized."""
        largest = max(self.file.tensors.values(), key=lambda tensor: torch.Size(tensor.shape).numel())
        return PLAIN.get(largest.type.name, torch.bfloat16)


def in_halves(rows: int, heads: int) -> Tensor:
    """Where our rows lie in a file: llama.cpp turns neighbours and we (i, i + half), so its converter reorders rows."""
    return torch.arange(rows).view(heads, -1, 2).transpose(1, 2).flatten()


def find(path: Path) -> GGUFFile | None:
    """What a reference resolved to as a GGUF file; None: it is a folder of another kind."""
    return gguf_reader.opened(path) if path.suffix == ".gguf" and not path.is_dir() else None


def checkpoint(path: Path) -> GGUFCheckpoint | None:
    """The tensors of a GGUF file; None: the reference is of another kind."""
    file = find(path)
    return None if file is None else GGUFCheckpoint(file)


@lru_cache(maxsize=4)
def _config(file: GGUFFile) -> dict[str, Any]:
    return gguf_config.config(file)


def config_values(path: Path) -> dict[str, Any]:
    """config.json, or what a GGUF file or Mistral's params.json say in its words. Raises BadWeights where none can be read."""
    file = find(path)
    if file is not None:
        return dict(_config(file))
    native = mistral_native.config(path)
    return read_json(path / "config.json") if native is None else native
