"""Adapters of language models: LoRA trained, and all kinds served in one batch. Knows layers; not files or tokens."""

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
from mmgen.models.checkpoints.convert import Names, TensorName
from mmgen.models.layers.norms import HeadNorm, RMSNorm
from mmgen.models.lm.adapters.parts import Base, in_turn
from mmgen.models.lm.adapters.prefix_tuning import Prefix
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.quantization.block_layers import BlockEmbedding

WHOLE = (nn.Embedding, BlockEmbedding, nn.LayerNorm, RMSNorm, HeadNorm)
"""Layers that an adapter can replace, besides linear ones."""
LINEAR = (".qkv.weight", ".out.weight", ".up.weight", ".down.weight")
"""Ends of our names of layers that adapters can sit on."""


class LoraLayer(nn.Module):
    """`scale * B A x` for parts of a linear layer's rows; Hu et al. 2021, 4.1. A fused layer has several parts."""

    def __init__(
        self, width: int, rows: Sequence[tuple[int, int]], out: int, ranks: Sequence[int], scales: Sequence[float]
    ) -> None:
        """`rows`: first and last + 1 of each part, ascending; rows between them get nothing."""
        super().__init__()
        self.rows, self.out, self.scales = tuple(rows), out, tuple(scales)
        self.down = nn.ParameterList(nn.Parameter(torch.empty(rank, width)) for rank in ranks)  # A
        self.up = nn.ParameterList(
            nn.Parameter(torch.zeros(last - first, rank)) for (first, last), rank in zip(rows, ranks, strict=True)
        )  # B
        for down in self.down:
            nn.init.kaiming_uniform_(down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out), what it adds"""
        pieces, at = [], 0
        for (first, last), scale, down, up in zip(self.rows, self.scales, self.down, self.up, strict=True):
            if first > at:
                pieces.append(x.new_zeros(*x.shape[:-1], first - at))
            pieces.append(F.linear(F.linear(x, down.to(x.dtype)), up.to(x.dtype)) * scale)
            at = last
        if self.out > at:
            pieces.append(x.new_zeros(*x.shape[:-1], self.out - at))
        return torch.cat(pieces, -1)

    def product(self) -> Tensor:
        """(out, in) what it adds to the weight"""
        whole: Tensor = self.down[0].new_zeros(self.out, self.down[0].shape[1])
        for (first, last), scale, down, up in zip(self.rows, self.scales, self.down, self.up, strict=True):
            whole[first:last] = scale * up @ down
        return whole

    def apply_to(self, x: Tensor, y: Tensor, base: Base) -> Tensor:
        return y + self.forward(x).to(y.dtype)


class AdapterSelection:
    """Which adapter each row of a pass takes; shared by all layers of a model."""

    def __init__(self) -> None:
        self.rows: Tensor | int | None = None  # (B,) or (B, N) numbers, -1: none; one number: all rows; None: none
        self.wanted: Tensor | None = None  # (W,) of the places of one row (1, N): those that the head is given


class AdaptedLayer(nn.Module):
    """A linear layer, an embedding or a norm, and what adapters make of it."""

    def __init__(self, base: nn.Module, choice: AdapterSelection, head: bool = False) -> None:
        super().__init__()
        self.base, self.choice, self.head = base, choice, head
        self.parts = nn.ModuleDict()  # by an adapter's number: what it does, in turn

    @property
    def weight(self) -> Tensor:
        """The layer's own."""
        return self.base.weight  # type: ignore[return-value]

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, in) -> (B, N, out)"""
        y: Tensor = self.base(x)
        rows = self.choice.rows
        if self.head and self.choice.wanted is not None and isinstance(rows, Tensor):
            rows = rows[0, self.choice.wanted]
        if isinstance(rows, int):
            return self._adapted(rows, x, y) if str(rows) in self.parts else y
        if rows is None:
            return y
        for number in rows.unique().tolist():
            if str(number) in self.parts:
                where = rows == number
                y = y.index_put((where,), self._adapted(number, x[where], y[where]))
        return y

    def _adapted(self, number: int, x: Tensor, y: Tensor) -> Tensor:
        return in_turn(self.parts[str(number)], x, y, self.base)  # type: ignore[arg-type]


@dataclass(frozen=True)
class AdapterSite:
    """A linear layer of ours, and what a family calls the parts it is made of."""

    width: int
    out: int
    rows: dict[str, tuple[int, int]]  # a layer of theirs -> its rows, first and last + 1
    theirs: TensorName  # how the rows of its weight lie in their files


class Adapters:
    """All adapters of a model, by name. The model's own weights stay as they are."""

    def __init__(self, lm: LanguageModel, names: Names) -> None:
        """`names`: of the model's checkpoint, see adapter_files.py: adapters name the layers that its family has."""
        self.lm, self.choice = lm, AdapterSelection()
        self.numbers: dict[str, int] = {}
        self.settings: list[dict[str, Any]] = []  # of each number, as PEFT calls them
        self.places = {name.removesuffix(".weight"): _place(lm, name, names) for name in names if name.endswith(LINEAR)}
        self.head = _place(lm, "head.weight", names) if "head.weight" in names else None
        self.whole = {one: ours for ours, one in _whole(lm, names)}  # embeddings and norms: their name -> ours
        self.prefixes: dict[str, Prefix] = {}  # of adapters that are keys and values

    def add(
        self, name: str, *, rank: int = 8, alpha: float = 16.0, targets: Sequence[str] | None = ("q_proj", "v_proj")
    ) -> None:
        """A new adapter that changes nothing yet. `targets`: ends of the family's names of linear layers; None: of all.

        Raises BadRequest for a target that no layer has.
        """
        known = {theirs.rpartition(".")[2] for place in self.places.values() for theirs in place.rows}
        targets = sorted(known) if targets is None else targets
        if missing := sorted(set(targets) - known):
            raise BadRequest(f"no layer is called {missing[0]}; there are {', '.join(sorted(known))}")
        number = self.enter(name, {"r": rank, "lora_alpha": alpha, "target_modules": sorted(targets)})
        for ours, place in self.places.items():
            parts = [theirs for theirs in place.rows if theirs.rpartition(".")[2] in targets]
            if parts:
                self.put(ours, number, parts, [rank] * len(parts), [alpha / rank] * len(parts))

    def parameters(self, name: str) -> list[nn.Parameter]:
        return [parameter for lora in self.layers(name).values() for parameter in lora.parameters()]

    @contextmanager
    def use(self, rows: Tensor | str | None, wanted: Tensor | None = None) -> Iterator[None]:
        """Inside, passes take an adapter: one by name for all rows, or (B,) or (B, N) of `numbers`, with -1 for none.

        `wanted`: (W,) the places of a row (1, N) of which the head makes logits; None: all.
        """
        before = self.choice.rows, self.choice.wanted
        self.choice.rows, self.choice.wanted = self.numbers[rows] if isinstance(rows, str) else rows, wanted
        try:
            yield
        finally:
            self.choice.rows, self.choice.wanted = before

    def layers(self, name: str) -> dict[str, LoraLayer]:
        """An adapter's part at each linear layer of ours."""
        number, found = str(self.numbers[name]), {}
        for ours in self.places:
            layer = self.lm.get_submodule(ours)
            if isinstance(layer, AdaptedLayer) and number in layer.parts:
                for one in layer.parts[number].children():
                    if isinstance(one, LoraLayer):
                        found[ours] = one
        return found

    def merge(self, name: str) -> None:
        """Adds a LoRA adapter to the weights for good, and takes all adapters off."""
        for ours, lora in self.layers(name).items():
            weight = self.lm.get_parameter(f"{ours}.base.weight")
            with torch.no_grad():
                weight.add_(lora.product().to(weight.dtype))
        for ours in self.places:
            layer = self.lm.get_submodule(ours)
            if isinstance(layer, AdaptedLayer):
                self._replace(ours, layer.base)
        self.numbers.clear()

    def enter(self, name: str, settings: dict[str, Any]) -> int:
        if name in self.numbers:
            raise BadRequest(f'there is an adapter "{name}" already; give this one another name')
        self.numbers[name] = len(self.settings)
        self.settings.append(settings)
        return self.numbers[name]

    def put(self, ours: str, number: int, parts: Sequence[str], ranks: Sequence[int], scales: Sequence[float]) -> LoraLayer:
        """A new LoRA at a linear layer of ours, for some of the layers it is made of, in the order of their rows."""
        place = self.site(ours)
        lora = LoraLayer(place.width, sorted(place.rows[theirs] for theirs in parts), place.out, ranks, scales)
        self.append(ours, number, lora)
        return lora

    def site(self, ours: str) -> AdapterSite:
        if ours == "head":
            assert self.head is not None
            return self.head
        return self.places[ours]

    def append(self, ours: str, number: int, part: nn.Module) -> None:
        """What an adapter does at a layer of ours, behind what it does there already."""
        layer = self.lm.get_submodule(ours)
        if not isinstance(layer, AdaptedLayer):
            layer = AdaptedLayer(layer, self.choice, head=ours == "head")
            self._replace(ours, layer)
        parts = layer.parts[str(number)] if str(number) in layer.parts else nn.ModuleList()
        assert isinstance(parts, nn.ModuleList)
        layer.parts[str(number)] = parts.append(part.to(self.lm.device))

    def _replace(self, ours: str, layer: nn.Module) -> None:
        parent, _, own = ours.rpartition(".")
        setattr(self.lm.get_submodule(parent), own, layer)


def _place(lm: LanguageModel, name: str, names: Names) -> AdapterSite:
    layer: Any = lm.get_submodule(name.removesuffix(".weight"))
    theirs, out = names[name], int(layer.out_features)
    sizes = theirs.sizes or (out // len(theirs.names),) * len(theirs.names)
    edges = pairwise((0, *accumulate(sizes)))
    rows = {} if theirs.index else dict(zip((one.removesuffix(".weight") for one in theirs.names), edges, strict=True))
    return AdapterSite(layer.in_features, out, rows, theirs)


def _whole(lm: LanguageModel, names: Names) -> Iterator[tuple[str, str]]:
    """Embeddings and norms: our module, and what theirs is called."""
    for name, theirs in names.items():
        ours = name.removesuffix(".weight")
        alone = name.endswith(".weight") and len(theirs.names) == 1 and not theirs.read_only and not theirs.folded
        if alone and isinstance(lm.get_submodule(ours), WHOLE):
            yield ours, theirs.names[0].removesuffix(".weight")
