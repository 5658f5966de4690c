"""The parts of a model with their shapes and sizes, and what a token costs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmgen.models.transformer_config import TransformerConfig

NUMBER = re.compile(r"\.\d+(?=\.|$)")


@dataclass(frozen=True)
class ModelPart:
    """Modules of one name and shape, such as the same projection of every block."""

    name: str  # numbers of blocks are *
    shape: tuple[int, ...]  # of its weight: a linear layer's (out, in)
    count: int
    parameters: int  # of all of them
    bytes: int  # as they lie in memory


def parts(model: nn.Module) -> list[ModelPart]:
    """In the order of the model. A tensor that modules share counts once; modules without tensors are left out."""
    seen, tied = set[int](), bool(getattr(getattr(model, "config", None), "tied", False))
    found: dict[tuple[str, tuple[int, ...]], ModelPart] = {}
    for name, module, tensors in _holders(model):
        fresh = [tensor for tensor in tensors if id(tensor) not in seen]
        seen.update(map(id, fresh))
        if not fresh:
            continue
        shape = _shape(module, fresh)
        own = 0 if name == "head" and tied else _parameters(module, fresh)  # a packed one is a copy
        key = (NUMBER.sub(".*", name), shape)
        before = found.get(key, ModelPart(*key, 0, 0, 0))
        size = sum(map(_bytes, fresh))
        found[key] = ModelPart(*key, before.count + 1, before.parameters + own, before.bytes + size)
    return list(found.values())


def forward_flops(config: TransformerConfig, length: int) -> float:
    """FLOPs of a token in a pass: `2 N + 4 L H d T`; Chowdhery et al. 2022, appendix B. N: with head, without lookup.

    `length`: places before it. A mixture counts the experts that a token goes to.
    """
    attention = (config.heads * 2 + config.kv_heads * 2) * config.head_size * config.hidden_size
    mixed = sum(config.mixes(layer) for layer in range(config.layers))
    sizes = mixed * (config.expert_size * config.experts_per_token + config.shared_intermediate_size)
    sizes += (config.layers - mixed) * config.intermediate_size
    feed_forward = (3 if config.gated else 2) * config.hidden_size * sizes
    weights = config.layers * attention + feed_forward + config.vocab_size * config.hidden_size
    return 2.0 * weights + 4.0 * config.layers * config.heads * config.head_size * length


def _holders(model: nn.Module) -> Iterator[tuple[str, nn.Module, list[Tensor]]]:
    """Modules that hold tensors themselves; the matrix of a layer of blocks counts as the layer's."""
    inside: set[str] = set()
    for name, module in model.named_modules():
        if name in inside:
            continue
        tensors = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        tensors += [value for value in vars(module).values() if isinstance(value, Tensor)]  # where weights are packed
        if hasattr(module, "matrix") and isinstance(module.matrix, nn.Module):
            inside.add(f"{name}.matrix")
            tensors += [*module.matrix.parameters(), *module.matrix.buffers()]
        if tensors:
            yield name, module, tensors


def _bytes(tensor: Tensor) -> int:
    return int(torch.ops.mkldnn._nbytes(tensor)) if tensor.is_mkldnn else tensor.nbytes


def _shape(module: nn.Module, tensors: list[Tensor]) -> tuple[int, ...]:
    for out, width in (("out_features", "in_features"), ("num_embeddings", "embedding_dim")):
        if hasattr(module, out):
            return getattr(module, out), getattr(module, width)
    return tuple(max(tensors, key=Tensor.numel).shape)


def _parameters(module: nn.Module, tensors: list[Tensor]) -> int:
    """Weights that are packed count as the numbers they stand for."""
    trained = sum(tensor.numel() for tensor in tensors if isinstance(tensor, nn.Parameter))
    return trained or (math.prod(_shape(module, tensors)) if hasattr(module, "in_features") or hasattr(module, "matrix") else 0)
