"""Learning rate schedules."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from mmgen.config import Config


class LearningRateSchedule(Config):
    """The `schedule` section of a recipe. Shares are of all steps."""

    kind: Literal["cosine", "wsd"] = "cosine"
    peak: float = Field(default=1e-3, gt=0)
    floor: float = Field(default=0.1, ge=0, le=1)  # where it ends, as a share of the peak
    warmup: float = Field(default=0.05, ge=0, le=1)
    decay: float = Field(default=0.2, ge=0, le=1)  # wsd: the last share, in which it falls

    def rate(self, step: int, steps: int) -> float:
        """Linear warm-up; then a cosine (Loshchilov and Hutter 2017), or a plateau and a linear fall (WSD; Hu et al. 2024)."""
        warm = max(1, round(self.warmup * steps))
        if step < warm:
            return self.peak * (step + 1) / warm
        if self.kind == "cosine":
            done = (step - warm) / max(1, steps - warm)
            return self.peak * (self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done)))
        left = (steps - step) / max(1, round(self.decay * steps))
        return self.peak * (self.floor + (1 - self.floor) * min(1.0, left))
