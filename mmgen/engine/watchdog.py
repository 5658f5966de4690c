"""Detects a step that hangs: no return and no event of its jobs for `limit_s` seconds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from mmgen.engine.job import Job

log = logging.getLogger(__name__)


class Watchdog:
    """Checks the step under way from a thread of its own. An event of one of its jobs counts as progress."""

    def __init__(self, limit_s: float, tell: Callable[[str], None]) -> None:
        """`tell`: called once for a step that hangs, with a message."""
        self.limit_s, self._tell = limit_s, tell
        self._step: tuple[Sequence[Job], float] | None = None
        self._seen: tuple[int, float] = (0, 0.0)  # events so far, and the time of the last change
        self._told: Sequence[Job] | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, jobs: Sequence[Job]) -> None:
        now = time.monotonic()
        self._seen, self._step = (-1, now), (jobs, now)
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="mmgen-watchdog", daemon=True)
            self._thread.start()

    def end(self) -> bool:
        """The step returned. True if it had been reported as hanging."""
        told, self._step, self._told = self._told is not None, None, None
        return told

    def close(self) -> None:
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(self.limit_s / 4):
            if (step := self._step) is not None and self._told is None:
                self._look(*step)

    def _look(self, jobs: Sequence[Job], began: float) -> None:
        events, now = sum(len(job.log) for job in jobs), time.monotonic()
        if events != self._seen[0]:
            self._seen = events, began if self._seen[0] < 0 else now
        silent = now - self._seen[1]
        if silent > self.limit_s:
            self._told = jobs
            requests = ", ".join(sorted({job.request.id for job in jobs})[:8])
            message = f"a step of {jobs[0].runner} hangs for {silent:.3g} s, the limit is {self.limit_s:.3g} s"
            log.error("%s (requests %s)", message, requests, extra={"request": jobs[0].request.id})
            self._tell(message)
