"""The interface of a scheduling policy: which jobs of one runner and key run next.

A quantum is one call of a runner's `step` for a batch of jobs; policies charge its measured milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from mmgen.engine.job import Job

WEIGHTS = {"interactive": 8.0, "normal": 4.0, "batch": 1.0}
PATIENCE = 60.0  # seconds: a job without a deadline is ranked as if it had this one
Entry = tuple[float, int, Job]  # rank, submission number, job: sorts in the order of service


class Scheduler(Protocol):
    """What the engine asks, always under its own lock. A job with work is held from `add` to `remove`.

    A policy of the registry is called with `clock`, which gives seconds as time.monotonic() does, simulated ones perhaps.
    """

    def __len__(self) -> int: ...
    def set_weight(self, user: str, weight: float) -> None: ...
    def add(self, job: Job) -> None: ...  # job.key is set
    def remove(self, job: Job) -> None: ...  # the job ended
    def next(self) -> list[Job]: ...  # a batch of one runner and key; empty: no work
    def beside(self, job: Job) -> list[Job]: ...  # a batch with that job first
    def charge(self, jobs: Sequence[Job], cost: float) -> list[float]: ...  # before `remove`: milliseconds -> each job's part


def split(cost: float, units: Sequence[float]) -> list[float]:
    """Splits a cost in proportion to the units; evenly if they are useless (all 0, negative, not finite)."""
    if units.count(units[0]) == len(units):
        return [cost / len(units)] * len(units)
    total = sum(units)
    if not (0 < total < math.inf and min(units) >= 0):
        return [cost / len(units)] * len(units)
    return [cost * own / total for own in units]
