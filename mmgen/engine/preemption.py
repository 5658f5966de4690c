"""Preemption points: due streaming jobs run inside a longer step, between two layers of its forward pass.

Decides when to ask and measures the parts; who is due is decided by GapLimiter.due.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from mmgen.engine.job import Job

FADING = 0.8
"""Decay per step of a runner's longest part: milliseconds between two of its preemption points."""


class PreemptionPoints:
    """A preemptible runner calls it between the parts of its step, on the device thread.

    The interrupted forward pass keeps its activations on the device while a streaming job's quantum runs inside it.
    """

    def __init__(self, wanted: Callable[[], bool], serve: Callable[[float, float], bool]) -> None:
        """
        Args:
            wanted: whether any job could be due; asked at every point.
            serve: (milliseconds of the step so far, of its longest part) -> whether any job ran.
        """
        self.jobs: Sequence[Job] = ()  # of the preemptible step under way; empty: there is none
        self._wanted, self._serve = wanted, serve
        self._longest: dict[str, float] = {}  # runner -> seconds of its longest part
        self._began = self._away = 0.0
        self._since: float | None = None  # when the part began; None: not measured
        self._serving = False
        self._thread = 0

    @property
    def serving(self) -> bool:
        """Whether a step runs inside another one, at one of its points."""
        return self._serving

    def wanted(self) -> bool:
        """Whether a pause at this point could serve anybody."""
        return self._here() and self._wanted()

    def _here(self) -> bool:
        """Within a preemptible step, on its thread, and not already within a pause of it."""
        return bool(self.jobs) and not self._serving and threading.get_ident() == self._thread

    def begin(self, jobs: Sequence[Job]) -> None:
        self._thread = threading.get_ident()  # hooks of a shared network also fire on other threads
        self.jobs, self._began, self._away, self._since = jobs, time.perf_counter(), 0.0, None
        if jobs[0].runner in self._longest:
            self._longest[jobs[0].runner] *= FADING

    def end(self) -> float:
        """The step returned: milliseconds that other jobs took inside it."""
        self.jobs = ()
        return 1000 * self._away

    def __call__(self, wait: Callable[[], None] = lambda: None) -> None:
        """`wait`: synchronizes with the device, so that what was launched is measured."""
        if not self._here():
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
