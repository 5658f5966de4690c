"""Adapters in a network's layers, each row of a batch with its own. Knows layers and rows; not files or prompts.

A hook behind a layer adds `scale * D x` for the rows whose adapters name it. The weights stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.errors import BadWeights
from mmgen.models.diffusion.adapters.weight_delta import WeightDelta

Deltas = Mapping[str, WeightDelta]
"""An adapter's part of one network, by the layer's path."""
RowAdapters = Sequence[tuple[Deltas, float]]
"""What a row is given: adapters' parts with their scales."""

MARK = "_adapted"
"""Set on layers that an adapter has changed."""


def is_adapted(layer: nn.Module) -> bool:
    """Whether an adapter may change what it gives, so that it is to be run as a layer."""
    return bool(getattr(layer, MARK, False))


class AdaptedLayers:
    """The layers of one network that adapters change."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self._hooked: set[str] = set()
        self._rows: Sequence[RowAdapters] = ()
        self._reached: set[str] = set()

    @contextmanager
    def use(self, rows: Sequence[RowAdapters]) -> Iterator[None]:
        """Inside, row n of every pass is changed by the adapters of `rows[n]`; none: nothing is done at all.

        Raises BadWeights where a pass went around a layer that an adapter changes.
        """
        wanted = {path for row in rows for deltas, scale in row if scale for path in deltas}
        if not wanted:
            yield
            return
        for path in sorted(wanted - self._hooked):
            layer = self.network.get_submodule(path)
            layer.register_forward_hook(partial(self._behind, path))
            setattr(layer, MARK, True)
        self._hooked |= wanted
        self._rows, self._reached = rows, set()
        try:
            yield
            if missed := sorted(wanted - self._reached):
                raise BadWeights(f"the network does not run its layer {missed[0]} as one, so no LoRA can change it")
        finally:
            self._rows = ()

    def _behind(self, path: str, layer: nn.Module, given: tuple[Any, ...], output: Tensor) -> Tensor | None:
        """The hook: (B, ...) in, (B, ...) out."""
        if not self._rows:
            return None
        self._reached.add(path)
        x: Tensor = given[0]
        parts = _by_delta(path, self._rows)
        for delta, scales in parts.values():
            numbers = [n for n, scale in enumerate(scales) if scale]
            if len(numbers) == len(scales):
                output = output + _scaled(delta(layer, x), scales)
            elif numbers:
                where = torch.tensor(numbers, device=x.device)
                added = _scaled(delta(layer, x[where]), [scales[n] for n in numbers])
                output = output.index_add(0, where, added.to(output.dtype))
        return output


def _by_delta(path: str, rows: Sequence[RowAdapters]) -> dict[int, tuple[WeightDelta, list[float]]]:
    """Each D of a layer with every row's scale of it."""
    parts: dict[int, tuple[WeightDelta, list[float]]] = {}
    for n, row in enumerate(rows):
        for deltas, scale in row:
            if (delta := deltas.get(path)) is not None:
                _, scales = parts.setdefault(id(delta), (delta, [0.0] * len(rows)))
                scales[n] += scale
    return parts


def _scaled(added: Tensor, scales: Sequence[float]) -> Tensor:
    if len(set(scales)) == 1:
        return added if scales[0] == 1 else added * scales[0]
    return added * torch.tensor(scales, dtype=added.dtype, device=added.device).view(-1, *[1] * (added.dim() - 1))
