"""How long the stages of a call took."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Any, Protocol


class StageListener(Protocol):
    """Told of the stages of calls, while they go on; see `mmgen.serve.telemetry`."""

    def begin(self) -> Any:
        """A stage begins, whose name is not known yet -> what stands for it."""

    def end(self, stage: Any, name: str) -> None:
        """It ended. Without a name: it was none."""


listener: ContextVar[StageListener | None] = ContextVar("stages", default=None)


class Clock:
    """Milliseconds between laps."""

    def __init__(self) -> None:
        self.began = self.last = time.perf_counter()
        self.stages: dict[str, float] = {}
        self._listener = listener.get()
        self._stage = self._listener and self._listener.begin()

    def lap(self, stage: str) -> None:
        """The stage that began with the last lap has ended."""
        now = time.perf_counter()
        self.stages[stage], self.last = round(1000 * (now - self.last), 2), now
        if self._listener:
            self._listener.end(self._stage, stage)
            self._stage = self._listener.begin()

    def laps(self) -> dict[str, float]:
        """After the last stage."""
        if self._listener:
            self._listener.end(self._stage, "")
        return {**self.stages, "total": round(1000 * (self.last - self.began), 2)}
