"""The linear layer of our own networks."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from mmgen.models.cpu.batch_invariant import ONEDNN, plain, product

__all__ = ["ONEDNN", "Interruption", "Linear"]

PART = 1 << 30
"""Multiplications after which a product may be interrupted: about 10 ms of a core with bf16 products, 20 in fp32."""
LEAST_PART = 128
"""Rows of a part: with fewer, laying out the weights anew for each part would take as long as the products."""


class Interruption(Protocol):
    """Other work in the middle of a layer."""

    def wanted(self) -> bool: ...  # whether any is waiting now
    def __call__(self) -> None: ...


class Linear(nn.Linear):
    """`x W' + b`. Without gradients on a CPU a row's result does not depend on the other rows; see batch_invariant.py.

    So a large product can be computed by parts of its rows, with other work between them, and give the same numbers.
    """

    interruption: Interruption | None = None  # set by whoever runs the network

    def forward(self, x: Tensor) -> Tensor:
        if self.interruption is None or not plain(x) or not self.interruption.wanted():
            return product(x, self.weight, self.bias)
        rows, count = max(LEAST_PART, PART // self.weight.numel() // 32 * 32), x.numel() // x.shape[-1]
        if count < 2 * rows:
            return product(x, self.weight, self.bias)
        parts: list[Tensor] = []
        for part in x.reshape(count, -1).tensor_split(count // rows):  # each of `rows` or a few more
            if parts:
                self.interruption()
            parts.append(product(part, self.weight, self.bias))
        out = parts[0].new_empty(*x.shape[:-1], self.out_features)
        for place, part in zip(out.view(count, -1).tensor_split(count // rows), parts, strict=True):
            place.copy_(part)
        return out
