"""Which layers and weights a native call was told of: it holds addresses, which count as long as these are the same."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from operator import call, is_
from typing import Any

from torch import Tensor, nn

from mmgen.models.checkpoints.offload import moves
from mmgen.models.cpu.bf16 import Bf16Linear
from mmgen.models.cpu.onednn import PackedLinear
from mmgen.models.quantization.block_layers import BlockEmbedding, BlockLinear
from mmgen.models.quantization.int4 import Int4Linear
from mmgen.models.quantization.int8 import Int8Linear


class WatchedWeights:
    """Layers of the blocks and their weights, and where they were found: in lists, as each token asks for it."""

    def __init__(self) -> None:
        self.holders: list[dict[str, Any]] = []  # of layers: the modules that hold them, and their names in these
        self.names: list[str] = []
        self.layers: list[nn.Module] = []
        self.hooks: list[Mapping[int, Any]] = []  # of layers: one is filled once somebody listens
        self.weight_holders: list[dict[str, Any]] = []  # of weights: their layer, or its matrix
        self.weight_names: list[str] = []
        self.weights: list[weakref.ref[Tensor]] = []  # they can leave
        self.moves = moves()

    def add(self, holder: nn.Module, name: str) -> None:
        layer = getattr(holder, name)
        self.holders.append(holder._modules)
        self.names.append(name)
        self.layers.append(layer)
        self.hooks += (layer._forward_hooks, layer._forward_pre_hooks)
        for where, own in _weights(layer):
            self.weight_holders.append(where)
            self.weight_names.append(own)
            self.weights.append(weakref.ref(where[own]))

    def hold(self) -> bool:
        """Whether these are the same layers with the same weights, and nobody listens."""
        if self.moves != moves() or any(self.hooks):
            return False
        same = all(map(is_, map(dict.get, self.holders, self.names), self.layers))  # without a step of Python: 450 of them
        return same and all(map(is_, map(dict.get, self.weight_holders, self.weight_names), map(call, self.weights)))


def _weights(layer: Any) -> list[tuple[dict[str, Any], str]]:
    """Where a layer keeps what is replaced when weights come and go."""
    if isinstance(layer, BlockLinear | BlockEmbedding):
        return [(layer.matrix._buffers, name) for name in layer.matrix._buffers]
    name = PRODUCTS.get(type(layer), "weight")
    return [(layer._parameters if name in layer._parameters else vars(layer), name)]


PRODUCTS: dict[type, str] = {Bf16Linear: "weight", PackedLinear: "weight", Int8Linear: "packed", Int4Linear: "packed"}
"""Layers that are known, and what of them is replaced when weights come and go."""


def address(tensor: Tensor | None) -> int:
    """0: there is none."""
    return 0 if tensor is None else tensor.data_ptr()
