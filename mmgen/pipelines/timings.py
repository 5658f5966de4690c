"""How long the stages of a call took."""

from __future__ import annotations

import time


class Clock:
    """Milliseconds between laps."""

    def __init__(self) -> None:
        self.began = self.last = time.perf_counter()
        self.stages: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.stages[stage], self.last = round(1000 * (now - self.last), 2), now

    def laps(self) -> dict[str, float]:
        return {**self.stages, "total": round(1000 * (self.last - self.began), 2)}
