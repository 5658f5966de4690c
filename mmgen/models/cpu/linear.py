"""The linear layer of our own networks."""

from __future__ import annotations

from torch import Tensor, nn

from mmgen.models.cpu.batch_invariant import ONEDNN, product

__all__ = ["ONEDNN", "Linear"]


class Linear(nn.Linear):
    """`x W' + b`. Without gradients on a CPU a row's result does not depend on the other rows; see batch_invariant.py."""

    def forward(self, x: Tensor) -> Tensor:
        return product(x, self.weight, self.bias)
