"""Answers in the middle of another's quantum. Knows when its parts begin and end; not what they do or who is due."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from mmgen.engine.job import Job

FADING = 0.8
"""What is left of the longest part of a runner's steps after each step."""


class PreemptionPoints:
    """A runner that can pause calls it between the parts of its step, on the device's thread.

    The pass stays as it is, with all that it holds on the device, while a streaming answer's quantum runs inside it.
    """

    def __init__(self, wanted: Callable[[], bool], serve: Callable[[float, float], bool]) -> None:
        """
        Args:
            wanted: whether anybody could be due; asked often.
            serve: milliseconds that the step took so far, and what its longest part takes -> whether anybody was served.
        """
        self.jobs: Sequence[Job] = ()  # whose step is under way; empty: that of none who can pause
        self._wanted, self._serve = wanted, serve
        self._longest: dict[str, float] = {}  # runner -> seconds of its longest part
        self._began = self._away = 0.0
        self._since: float | None = None  # when the part began; None: nobody looked
        self._serving = False
        self._thread = 0

    def begin(self, jobs: Sequence[Job]) -> None:
        self._thread = threading.get_ident()  # others may use the same network, and hear of it here
        self.jobs, self._began, self._away, self._since = jobs, time.perf_counter(), 0.0, None
        if jobs[0].runner in self._longest:
            self._longest[jobs[0].runner] *= FADING

    def end(self) -> float:
        """The step is over: milliseconds of others inside it."""
        self.jobs = ()
        return 1000 * self._away

    def __call__(self, wait: Callable[[], None] = lambda: None) -> None:
        """`wait`: until the device has done what it was told so far."""
        if not self.jobs or self._serving or threading.get_ident() != self._thread:
            return
        if not self._wanted():
            self._since = None
            return
        wait()
        now, runner = time.perf_counter(), self.jobs[0].runner
        if self._since is not None:
            self._longest[runner] = max(self._longest.get(runner, 0.0), now - self._since)
        self._serving = True
        try:
            served = self._serve(1000 * (now - self._began - self._away), 1000 * self._longest.get(runner, 0.0))
        finally:
            self._serving, self._since = False, time.perf_counter()
        if served:
            self._away += self._since - now
