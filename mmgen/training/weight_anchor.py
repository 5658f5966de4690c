"""Elastic weight consolidation: weights are held where earlier tasks need them (Kirkpatrick et al. 2017, arXiv 1612.00796)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


class WeightAnchor:
    """The sum over earlier tasks k of `F_k (w - w_k)^2 / 2`, kept as one parabola a weight: the sum of F and its centre."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.stiffness: dict[str, Tensor] = {}
        self.centre: dict[str, Tensor] = {}

    def add(self, batches: Iterable[T], loss: Callable[[T], Tensor]) -> None:
        """A task that was learned just now. F is the diagonal of the empirical Fisher information: squared gradients of each
        batch's loss, averaged."""
        fisher = {name: torch.zeros_like(weight) for name, weight in self.model.named_parameters() if weight.requires_grad}
        count = 0
        for batch in batches:
            self.model.zero_grad(set_to_none=True)
            loss(batch).backward()
            count += 1
            for name, weight in self.model.named_parameters():
                if weight.grad is not None and name in fisher:
                    fisher[name] += weight.grad.detach() ** 2
        self.model.zero_grad(set_to_none=True)
        for name, weight in self.model.named_parameters():
            if name not in fisher:
                continue
            new = fisher[name] / max(1, count)
            before = self.stiffness.get(name, torch.zeros_like(new))
            centre = self.centre.get(name, weight.detach())
            share = torch.where(before + new > 0, new / (before + new), 0.0)  # of the new task
            self.centre[name] = centre + share * (weight.detach() - centre)
            self.stiffness[name] = before + new

    def penalty(self) -> Tensor:
        """How much the weights' distance costs, but for a constant; 0 before the first task."""
        total = next(self.model.parameters()).new_zeros(())
        for name, weight in self.model.named_parameters():
            if name in self.stiffness:
                total = total + (self.stiffness[name] * (weight - self.centre[name]) ** 2).sum() / 2
        return total
