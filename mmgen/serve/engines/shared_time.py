"""Device time of requests that one engine works at together, where it tells none itself. Knows no engine."""

from __future__ import annotations

import time
from collections.abc import Callable


class SharedTime:
    """Each moment is shared equally by the requests under way: an engine with continuous batching has all of them in each
    step. Their sum is the time for which the engine had something to do."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._at = clock, clock()
        self._each = 0.0  # seconds that a request would have been charged that was always there
        self._began: dict[str, float] = {}

    def begin(self, id: str) -> None:
        self._advance()
        self._began[id] = self._each

    def end(self, id: str) -> float:
        """Milliseconds that it is charged."""
        self._advance()
        return 1000 * (self._each - self._began.pop(id))

    def _advance(self) -> None:
        now = self._clock()
        if self._began:
            self._each += (now - self._at) / len(self._began)
        self._at = now
