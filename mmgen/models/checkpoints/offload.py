"""A loaded model whose tensors can leave and come back, while all that holds the model stays as it is.

Knows objects and their tensors; not what they compute, or when to leave (mmgen.engine.memory.model_pool).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from mmgen.errors import BadWeights

Model = TypeVar("Model")
OURS = ("mmgen.", "diffusers.", "sentence_transformers.")
"""Packages whose objects are looked into for modules; everything else is taken to hold no tensors of the model's."""


_moves = 0


def moves() -> int:
    """How often tensors of loaded models left or came back: as long as it is the same, their numbers lie where they lay."""
    return _moves


def _count_move() -> None:
    global _moves
    _moves += 1


class Buffers(Protocol):
    """What a model keeps on the device besides its weights."""

    def away(self) -> None: ...
    def back(self) -> None: ...


class LoadedModel(Generic[Model]):
    """`model_pool.Weights` of whatever `load` gives, on that device. `load` gives the same model every time."""

    def __init__(self, load: Callable[[], Model], device: str) -> None:
        self.load, self.device = load, device
        self.model = load()
        self._modules = list(modules(self.model))  # adapters that come later stay where they are
        self.host = not device.startswith("cpu")
        self.beside: list[Buffers] = []
        self._resting = False

    @property
    def nbytes(self) -> int:
        """Of its tensors, each storage once."""
        found = {id(tensor): tensor for module in self._modules for tensor in tensors(module)}
        return sum(tensor.numel() * tensor.element_size() for tensor in found.values())

    def bring(self) -> None:
        _count_move()
        if self._resting:
            self._move(self.device)
        else:
            self._fill(self.load())
        self._resting = False
        for one in self.beside:
            one.back()

    def rest(self) -> None:
        _count_move()
        for one in self.beside:
            one.away()
        self._move("cpu")
        self._resting = True

    def drop(self) -> None:
        _count_move()
        for one in self.beside:
            one.away()
        for module in self._modules:
            for holder in (module._parameters, module._buffers):
                for tensor in holder.values():
                    if tensor is not None:
                        tensor.data = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
            for name, tensor in plain(module).items():
                setattr(module, name, torch.empty(0, dtype=tensor.dtype))
        self._resting = False

    def _move(self, device: str) -> None:
        for module in self._modules:
            for holder in (module._parameters, module._buffers):
                for tensor in holder.values():
                    if tensor is not None:
                        tensor.data = tensor.data.to(device)
            for name, tensor in plain(module).items():
                setattr(module, name, tensor.to(device))

    def _fill(self, fresh: Model) -> None:
        """Takes over the tensors of a second copy, module by module."""
        mine, theirs = self._modules, list(modules(fresh))
        if [type(one) for one in mine] != [type(one) for one in theirs]:
            raise BadWeights("the model's files changed since it was first loaded; make a new Runtime")
        for module, other in zip(mine, theirs, strict=True):
            for old, new in ((module._parameters, other._parameters), (module._buffers, other._buffers)):
                for name, tensor in old.items():
                    if tensor is not None:
                        other_tensor = new[name]
                        assert other_tensor is not None
                        tensor.data = other_tensor.data
            if plain(module):  # how they lie is told beside them, such as in models/packed.py
                vars(module).update({name: value for name, value in vars(other).items() if not name.startswith("_")})


def modules(model: Any) -> Iterator[nn.Module]:
    """All modules in an object, each once, in an order that depends on its structure alone."""
    seen: set[int] = set()
    todo = [model]
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, nn.Module):
            for module in one.modules():
                if module is one or id(module) not in seen:
                    seen.add(id(module))
                    yield module
        elif isinstance(one, list | tuple):
            todo += one
        elif isinstance(one, dict):
            todo += one.values()
        elif type(one).__module__.startswith(OURS) and hasattr(one, "__dict__"):
            todo += vars(one).values()


def plain(module: nn.Module) -> dict[str, Tensor]:
    """Tensors that are neither parameters nor buffers."""
    return {name: value for name, value in vars(module).items() if isinstance(value, Tensor)}


def tensors(module: nn.Module) -> Iterator[Tensor]:
    """A module's own, without its children's."""
    for holder in (module._parameters, module._buffers):
        yield from (tensor for tensor in holder.values() if tensor is not None)
    yield from plain(module).values()
