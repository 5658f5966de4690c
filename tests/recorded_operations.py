"""Stands in for CUDA graphs where there is no GPU: records torch's operations, and does them again on the same tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tape(TorchDispatchMode):
    """What was done, in order. As while CUDA records, no tensor's value may be asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, Any, Any, list[Tensor]]] = []

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if op in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
            raise RuntimeError("operation not permitted when stream is capturing")
        out = op(*args, **(kwargs or {}))
        self.done.append((op, args, kwargs or {}, [one for one in tree_leaves(out) if isinstance(one, Tensor)]))
        return out

    def replay(self) -> None:
        for op, args, kwargs, kept in self.done:
            found = [one for one in tree_leaves(op(*args, **kwargs)) if isinstance(one, Tensor)]
            for old, new in zip(kept, found, strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def record(work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
    """A `Recorder`. What it recorded is overwritten, so that only a replay can give the result."""
    with (tape := Tape()):
        out = work()
    for *_, kept in tape.done:
        if kept and kept[0] is out:
            out.fill_(float("nan"))
    return out, tape.replay
