"""bfloat16 models multiplied by our own kernel: weights in panels, inputs rounded to bfloat16, sums and all else in fp32."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from mmgen.models.cpu.kernels import FIXED_GROUP, kernels
from mmgen.models.cpu.linear import Linear
from mmgen.models.quantization import block_layers, block_matrix
from mmgen.models.quantization.block_matrix import BlockMatrix
from mmgen.models.quantization.packed_tensor import PackedTensor


def pack(module: nn.Module, words: nn.Embedding) -> bool:
    """Turns the linear layers of a bfloat16 model, and `words` in it, into layers over blocks; all other weights become fp32.

    A row's result is the same, to the bit, whatever other rows there are. The model is for inference alone from then on.

    Returns False, and changes nothing, where the processor has no such products or has faster ones (AMX), and where a layer
    is of another kind.
    """
    layers = [one for one in _places(module) if one[2] is words or not isinstance(one[2], nn.Embedding)]
    if not available() or not all(_taken(layer) for _, _, layer in layers):
        return False
    made: dict[int, BlockMatrix] = {}  # by their weights, which several layers may share
    for holder, name, layer in layers:
        weight = layer.weight
        if id(weight) not in made:
            made[id(weight)] = _matrix(weight.detach())
        block_layers.replace(holder, name, made[id(weight)], getattr(layer, "bias", None))
    module.float()
    return True


def available() -> bool:
    """Whether the processor has such products, and none that are faster."""
    found = kernels()
    return found is not None and found.multiplies_bf16 and not torch.cpu._is_amx_tile_supported()


def _places(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear | nn.Embedding]]:
    for holder in list(module.modules()):
        for name, child in holder.named_children():
            if isinstance(child, nn.Linear | nn.Embedding):
                yield holder, name, child


def _taken(layer: nn.Linear | nn.Embedding) -> bool:
    weight: Tensor = layer.weight
    plain = weight.dtype is torch.bfloat16 and weight.device.type == "cpu" and type(layer) in (nn.Linear, Linear, nn.Embedding)
    return plain and weight.shape[1] % FIXED_GROUP == 0


def _matrix(weight: Tensor) -> BlockMatrix:
    rows, columns = weight.shape
    matrix = BlockMatrix([PackedTensor("BF16", (rows, columns), weight.contiguous().view(torch.uint8))])
    matrix.planes = block_matrix.BF16
    return matrix
