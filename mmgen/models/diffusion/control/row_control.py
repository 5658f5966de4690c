"""What one row of a batch is controlled by, and what every kind of control model can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from mmgen.image_params import ControlInput


class ControlModel(Protocol):
    """A model beside a UNet, on the same device."""

    kind: str  # how people call it, such as "ControlNet"
    spatial: bool  # its image lies over the one that is drawn, so it is given in that size

    def prepare(self, given: ControlInput) -> PreparedControl: ...  # once an image, before its first step
    def modules(self) -> list[torch.nn.Module]: ...


@dataclass(frozen=True, eq=False)
class PreparedControl:
    """What a model made of an image."""

    tensors: Sequence[torch.Tensor]  # without a batch dimension
    negative: Sequence[torch.Tensor] | None = None  # what unconditional rows are given; None: the same

    @property
    def bytes(self) -> int:
        return sum(one.nbytes for one in (*self.tensors, *(self.negative or ())))


@dataclass(frozen=True, eq=False)
class RowControl:
    """One control of one row."""

    model: Any  # a ControlModel
    prepared: PreparedControl
    scale: float
    start: float = 0.0  # it acts from that share of the steps on
    end: float = 1.0  # up to that one
    unconditional: bool = False

    @property
    def tensors(self) -> Sequence[torch.Tensor]:
        negative = self.prepared.negative
        return self.prepared.tensors if negative is None or not self.unconditional else negative

    def acts(self, step: int, of: int) -> bool:
        """Whether it acts in that step, counted from 0."""
        return self.scale != 0 and step / of >= self.start and (step + 1) / of <= self.end
