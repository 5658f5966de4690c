"""Matrices in a GGUF file's blocks, or exactly in such: layers that multiply from them take the place of plain ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import psutil
from torch import nn

from mmgen.errors import BadRequest
from mmgen.models.checkpoints.convert import Taken, TensorName
from mmgen.models.checkpoints.dequantized import DequantizedTensors
from mmgen.models.checkpoints.gguf_checkpoint import GGUFCheckpoint
from mmgen.models.cpu.kernels import kernels
from mmgen.models.quantization import block_layers, block_matrix
from mmgen.models.quantization.packed_tensor import PackedTensor

log = logging.getLogger(__name__)
PLAIN = "F32"
Packed = GGUFCheckpoint | DequantizedTensors
"""Checkpoints that have matrices in blocks."""


def taker(checkpoint: Packed, module: nn.Module) -> Taken:
    """For `convert.pour`: puts packed layers into `module`, a model on a CPU, and leaves to it what cannot be packed."""
    if kernels() is None and _fits(checkpoint):
        log.info("%s is dequantized: without compiled kernels its blocks would be slow", checkpoint.folder)
        return lambda ours, theirs, names: False
    told = set[str]()

    def take(ours: str, theirs: TensorName, names: Sequence[str]) -> bool:
        holder, name = _place(module, ours)
        if holder is None or not theirs.as_it_lies:
            return False
        found = [checkpoint.packed(one) for one in names]
        tensors = [one for one in found if one is not None]
        if len(tensors) < len(found):
            return False
        if theirs.rows:
            tensors = [tensors[0].rows(slice(*theirs.rows[:2]))]
        layer = getattr(holder, name)
        if not block_matrix.alike(tensors) or (isinstance(layer, nn.Embedding) and not _plain(tensors)):
            return False
        if kinds := {tensor.type for tensor in tensors if not block_matrix.reads(tensor)}:
            _tell(checkpoint, kinds - told - {PLAIN})
            told.update(kinds)
            return False
        block_layers.replace(holder, name, tensors, getattr(layer, "bias", None))
        return True

    return take


def tie(module: nn.Module, embedding: nn.Module, name: str) -> None:
    """Lets `module`'s linear layer of that name multiply with the embedding's matrix, where that is packed."""
    if isinstance(embedding, block_layers.BlockEmbedding):
        block_layers.replace(module, name, embedding.matrix, getattr(module, name).bias)


def round_inputs(module: nn.Module, name: str) -> None:
    """Lets packed layers multiply inputs in int8: twice as fast for prompts, and as far from exact as llama.cpp is.

    Raises BadRequest where there are none.
    """
    matrices = [one for one in module.modules() if isinstance(one, block_matrix.BlockMatrix) and one.kernels is not None]
    if not matrices:
        raise BadRequest(f"#a8 is for GGUF files on a CPU with our kernels, which {name} is not here; leave it out")
    for matrix in matrices:
        matrix.planes = block_matrix.FAST


def _place(module: nn.Module, ours: str) -> tuple[nn.Module | None, str]:
    """The module that holds the linear layer or embedding of which `ours` is the weight; None: it is of no such layer."""
    path, _, kind = ours.rpartition(".")
    parent, _, name = path.rpartition(".")
    holder = module.get_submodule(parent)
    plain = kind == "weight" and isinstance(getattr(holder, name), nn.Linear | nn.Embedding)
    return (holder if plain else None), name


def _plain(tensors: Sequence[PackedTensor]) -> bool:
    return all(one.columns is None and one.factors is None for one in tensors)


def _tell(checkpoint: Packed, kinds: set[str]) -> None:
    for kind in sorted(kinds):
        log.warning("%s: tensors of %s are dequantized to float32, as there is no kernel for them", checkpoint.folder, kind)


def _fits(checkpoint: Packed) -> bool:
    """Whether all of it in float32 takes less than half of the memory that is free."""
    if isinstance(checkpoint, DequantizedTensors):
        return checkpoint.bytes_in_full < psutil.virtual_memory().available // 2
    numbers = sum(tensor.nbytes // tensor.type.nbytes * tensor.type.values for tensor in checkpoint.file.tensors.values())
    return 4 * numbers < psutil.virtual_memory().available // 2
