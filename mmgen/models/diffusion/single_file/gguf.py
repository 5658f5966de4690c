"""A diffusion model's tensors in a GGUF file, as city96's ComfyUI-GGUF lays them out: read, or left in their blocks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import gguf_reader
from mmgen.models.diffusion.single_file.tensors import SingleFile
from mmgen.models.quantization import block_matrix
from mmgen.models.quantization.block_layers import BlockLinear
from mmgen.models.quantization.block_matrix import BlockMatrix
from mmgen.models.quantization.packed_tensor import PackedTensor

log = logging.getLogger(__name__)
ORIGINAL_SHAPE = "comfy.gguf.orig_shape."
"""Of the metadata: what a tensor was before its rows were made to fit blocks."""


class GGUFSingleFile(SingleFile):
    """As any single file; matrices also in their blocks."""

    def __init__(self, path: Path) -> None:
        """Raises BadWeights where it is damaged, or a language model's."""
        self.path, self.file = path, gguf_reader.opened(path)
        self.metadata: dict[str, Any] = self.file.metadata
        self.shapes = {name: self._shape(name) for name in self.file.tensors}
        self.read: set[str] = set()

    def _shape(self, name: str) -> tuple[int, ...]:
        said = self.metadata.get(ORIGINAL_SHAPE + name)
        return self.file.tensors[name].shape if said is None else tuple(said)

    def get(self, name: str) -> Tensor:
        """Dequantized to fp32. Raises BadWeights where it is missing or not all of it are numbers."""
        shape = self.shape(name)
        tensor = self.file.tensors[name].values().view(shape)
        if not bool(torch.isfinite(tensor).all()):
            raise BadWeights(f"{self.path} holds numbers that are none in {name}; the file is damaged, fetch it again")
        self.read.add(name)
        return tensor

    def packed(self, name: str) -> PackedTensor | None:
        """A matrix in its blocks, a view of the file; None where it is no matrix there."""
        tensor = self.file.tensors[name]
        return tensor.packed() if len(tensor.shape) == 2 and ORIGINAL_SHAPE + name not in self.metadata else None


class GGUFLinear(BlockLinear):
    """A linear layer in its blocks whose matrix adapters may read."""

    @property
    def weight(self) -> Tensor:
        """float32 (outputs, inputs), dequantized anew."""
        return self.matrix.rows(torch.arange(self.out_features))


class TypedLinear(BlockLinear):
    """A linear layer in its blocks that tells the dtype it works in, as T5's code asks for."""

    weight: Tensor

    def __init__(self, matrix: BlockMatrix, bias: Tensor | None = None) -> None:
        super().__init__(matrix, bias)
        self.register_buffer("weight", torch.empty(0), persistent=False)


Packer = Callable[[BlockMatrix, Tensor | None], BlockLinear]


class Packing:
    """Puts layers in their blocks into a network on a CPU, and tells which are dequantized for want of a kernel."""

    def __init__(self, file: GGUFSingleFile, packer: Packer = GGUFLinear) -> None:
        self.file, self.packer = file, packer
        self.dequantized: set[str] = set()

    def take(self, network: nn.Module, name: str, tensors: list[PackedTensor | None]) -> bool:
        """Replaces the linear layer of that weight, whose bias is filled; False: its weight is to be dequantized."""
        path, _, end = name.rpartition(".")
        layer = network.get_submodule(path)
        if end != "weight" or not isinstance(layer, nn.Linear) or any(one is None for one in tensors):
            return False
        packed = [one for one in tensors if one is not None]
        unread = {one.type for one in packed if not block_matrix.reads(one)}
        if unread:
            self.dequantized |= unread - {"F32"}
            return False
        network.set_submodule(path, self.packer(BlockMatrix(packed), layer.bias))
        return True

    def tell(self) -> None:
        for kind in sorted(self.dequantized):
            log.warning("%s: tensors of %s are dequantized to float32, as there is no kernel for them", self.file.path, kind)
