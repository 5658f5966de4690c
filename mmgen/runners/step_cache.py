"""Step caching: a row's output is used again while the first block adds about what it added when the output was computed.

Decided by each row alone, so that its image is the same in any batch. What reuse cost is measured whenever the network is run
again: by how much its output differs from the one that was used until then.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(eq=False)
class StepCache:
    """Of one job."""

    threshold: float  # relative change of the first block's residual
    residual: Tensor | None = None  # when the output was computed
    output: Tensor | None = None
    reused: int = 0  # steps, in all ...
    streak: int = 0  # ... and since the output was computed
    error: float = 0.0  # the largest relative difference between an output that was used and the next one

    def fits(self, residual: Tensor, last: bool) -> bool:
        """Whether the output can be used again. The last step is always computed."""
        if self.residual is None or last:
            return False
        return distance(residual, self.residual) < self.threshold

    def use(self) -> Tensor:
        assert self.output is not None
        self.reused += 1
        self.streak += 1
        return self.output

    def keep(self, residual: Tensor, output: Tensor) -> None:
        """The network was run."""
        if self.streak and self.output is not None:
            self.error = max(self.error, distance(self.output, output))
        self.residual, self.output, self.streak = residual, output, 0


def distance(one: Tensor, other: Tensor) -> float:
    """Relative, in L1: |one - other| / |other|."""
    return float((one - other).abs().mean() / other.abs().mean().clamp(min=1e-12))
