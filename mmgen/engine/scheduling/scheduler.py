"""What a policy is: who is next. Knows users, priorities, deadlines and measured cost; not runners or what a quantum does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from mmgen.engine.job import Job

WEIGHTS = {"interactive": 8.0, "normal": 4.0, "batch": 1.0}
PATIENCE = 60.0  # seconds: what waits longer goes before any deadline that is still to come
Entry = tuple[float, int, Job]  # rank, number of the submission, job: sorts as the jobs are to be served


class Scheduler(Protocol):
    """What the engine asks, always under its own lock. A job with work is held from `add` to `remove`.

    A policy of the registry is called with `clock`, which gives seconds as time.monotonic() does, simulated ones perhaps.
    """

    def __len__(self) -> int: ...
    def set_weight(self, user: str, weight: float) -> None: ...
    def add(self, job: Job) -> None: ...  # job.key is set
    def remove(self, job: Job) -> None: ...  # the job ended
    def next(self) -> list[Job]: ...  # jobs of one runner and key for a quantum, who it is for first; empty: no work
    def beside(self, job: Job) -> list[Job]: ...  # that job first, and who may share its quantum
    def charge(self, jobs: Sequence[Job], cost: float) -> list[float]: ...  # what it cost, before `remove` -> each job's part


def split(cost: float, units: Sequence[float]) -> list[float]:
    """In proportion to the units; evenly where they say nothing (all 0, negative, not finite)."""
    if units.count(units[0]) == len(units):
        return [cost / len(units)] * len(units)
    total = sum(units)
    if not (0 < total < math.inf and min(units) >= 0):
        return [cost / len(units)] * len(units)
    return [cost * own / total for own in units]
