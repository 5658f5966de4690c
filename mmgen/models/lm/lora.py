"""LoRA adapters of language models: trained, and several of them served in one batch. Knows layers; not files or tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgen.errors import BadRequest
from mmgen.models.checkpoints.convert import Names
from mmgen.models.lm.language_model import LanguageModel

LINEAR = (".qkv.weight", ".out.weight", ".up.weight", ".down.weight")
"""Ends of our names of layers that adapters can sit on."""


class LoraLayer(nn.Module):
    """`scale * B A x` for parts of a linear layer's rows; Hu et al. 2021, 4.1. A fused layer has several parts."""

    def __init__(self, width: int, rows: Sequence[tuple[int, int]], out: int, rank: int, scale: float) -> None:
        """`rows`: first and last + 1 of each part, ascending; rows between them get nothing."""
        super().__init__()
        self.rows, self.out, self.scale = tuple(rows), out, scale
        self.down = nn.ParameterList(nn.Parameter(torch.empty(rank, width)) for _ in rows)  # A
        self.up = nn.ParameterList(nn.Parameter(torch.zeros(last - first, rank)) for first, last in rows)  # B
        for down in self.down:
            nn.init.kaiming_uniform_(down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)"""
        pieces, at = [], 0
        for (first, last), down, up in zip(self.rows, self.down, self.up, strict=True):
            if first > at:
                pieces.append(x.new_zeros(*x.shape[:-1], first - at))
            pieces.append(F.linear(F.linear(x, down.to(x.dtype)), up.to(x.dtype)) * self.scale)
            at = last
        if self.out > at:
            pieces.append(x.new_zeros(*x.shape[:-1], self.out - at))
        return torch.cat(pieces, -1)

    def product(self) -> Tensor:
        """(out, in) what it adds to the weight"""
        whole: Tensor = self.down[0].new_zeros(self.out, self.down[0].shape[1])
        for (first, last), down, up in zip(self.rows, self.down, self.up, strict=True):
            whole[first:last] = self.scale * up @ down
        return whole


class AdapterSelection:
    """Which adapter each row of a pass takes; shared by all layers of a model."""

    def __init__(self) -> None:
        self.rows: Tensor | int | None = None  # (B,) or (B, N) numbers, -1: none; one number: all rows; None: none


class AdaptedLinear(nn.Module):
    """A linear layer and what adapters add to it."""

    def __init__(self, base: nn.Module, choice: AdapterSelection) -> None:
        super().__init__()
        self.base, self.choice = base, choice
        self.loras = nn.ModuleDict()  # by an adapter's number

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, in) -> (B, N, out)"""
        y: Tensor = self.base(x)
        rows = self.choice.rows
        if isinstance(rows, int):
            return y + self.loras[str(rows)](x).to(y.dtype) if str(rows) in self.loras else y
        if rows is None:
            return y
        for number in rows.unique().tolist():
            if str(number) in self.loras:
                where = rows == number
                y = y.index_put((where,), y[where] + self.loras[str(number)](x[where]).to(y.dtype))
        return y


@dataclass(frozen=True)
class AdapterSite:
    """A linear layer of ours, and what a family calls the parts it is made of."""

    width: int
    out: int
    rows: dict[str, tuple[int, int]]  # a layer of theirs -> its rows, first and last + 1


class Adapters:
    """All adapters of a model, by name. The model's own weights stay as they are."""

    def __init__(self, lm: LanguageModel, names: Names) -> None:
        """`names`: of the model's checkpoint, see adapter_files.py: adapters name the layers that its family has."""
        self.lm, self.choice = lm, AdapterSelection()
        self.numbers: dict[str, int] = {}
        self.settings: list[dict[str, Any]] = []  # of each number, as PEFT calls them
        self.places = {name.removesuffix(".weight"): _place(lm, name, names) for name in names if name.endswith(LINEAR)}

    def add(self, name: str, *, rank: int = 8, alpha: float = 16.0, targets: Sequence[str] = ("q_proj", "v_proj")) -> None:
        """A new adapter that changes nothing yet. `targets`: ends of the family's names of linear layers.

        Raises BadRequest for a target that no layer has.
        """
        known = {theirs.rpartition(".")[2] for place in self.places.values() for theirs in place.rows}
        if missing := sorted(set(targets) - known):
            raise BadRequest(f"no layer is called {missing[0]}; there are {', '.join(sorted(known))}")
        number = self.enter(name, {"r": rank, "lora_alpha": alpha, "target_modules": sorted(targets)})
        for ours, place in self.places.items():
            parts = [theirs for theirs in place.rows if theirs.rpartition(".")[2] in targets]
            if parts:
                self.put(ours, number, parts, rank, alpha / rank)

    def parameters(self, name: str) -> list[nn.Parameter]:
        return [parameter for lora in self.layers(name).values() for parameter in lora.parameters()]

    @contextmanager
    def use(self, rows: Tensor | str | None) -> Iterator[None]:
        """Inside, passes take an adapter: one by name for all rows, or (B,) or (B, N) of `numbers`, with -1 for none."""
        before = self.choice.rows
        self.choice.rows = self.numbers[rows] if isinstance(rows, str) else rows
        try:
            yield
        finally:
            self.choice.rows = before

    def layers(self, name: str) -> dict[str, LoraLayer]:
        """An adapter's part at each linear layer of ours."""
        number, found = str(self.numbers[name]), {}
        for ours in self.places:
            layer = self.lm.get_submodule(ours)
            if isinstance(layer, AdaptedLinear) and number in layer.loras:
                lora = layer.loras[number]
                assert isinstance(lora, LoraLayer)
                found[ours] = lora
        return found

    def merge(self, name: str) -> None:
        """Adds an adapter to the weights for good, and takes all adapters off."""
        for ours, lora in self.layers(name).items():
            weight = self.lm.get_parameter(f"{ours}.base.weight")
            with torch.no_grad():
                weight.add_(lora.product().to(weight.dtype))
        for ours in self.places:
            layer = self.lm.get_submodule(ours)
            if isinstance(layer, AdaptedLinear):
                self._replace(ours, layer.base)
        self.numbers.clear()

    def enter(self, name: str, settings: dict[str, Any]) -> int:
        if name in self.numbers:
            raise BadRequest(f'there is an adapter "{name}" already; give this one another name')
        self.numbers[name] = len(self.settings)
        self.settings.append(settings)
        return self.numbers[name]

    def put(self, ours: str, number: int, parts: Sequence[str], rank: int, scale: float) -> LoraLayer:
        """A new part of an adapter at a linear layer of ours, for some of the layers it is made of."""
        layer, place = self.lm.get_submodule(ours), self.places[ours]
        if not isinstance(layer, AdaptedLinear):
            layer = AdaptedLinear(layer, self.choice)
            self._replace(ours, layer)
        lora = LoraLayer(place.width, sorted(place.rows[theirs] for theirs in parts), place.out, rank, scale)
        layer.loras[str(number)] = lora.to(self.lm.device)
        return lora

    def _replace(self, ours: str, layer: nn.Module) -> None:
        parent, _, own = ours.rpartition(".")
        setattr(self.lm.get_submodule(parent), own, layer)


def _place(lm: LanguageModel, name: str, names: Names) -> AdapterSite:
    layer: Any = lm.get_submodule(name.removesuffix(".weight"))
    theirs, out = names[name], int(layer.out_features)
    if theirs.heads:  # their rows lie in another order
        return AdapterSite(layer.in_features, out, {})
    sizes = theirs.sizes or (out // len(theirs.names),) * len(theirs.names)
    edges = pairwise((0, *accumulate(sizes)))
    return AdapterSite(
        layer.in_features, out, dict(zip((one.removesuffix(".weight") for one in theirs.names), edges, strict=True))
    )
