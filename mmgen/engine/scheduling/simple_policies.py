"""The policies `fifo`, `priority` and `shortest`: one ranked queue. No fair shares: one user can take the whole device."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import count, islice
from typing import Any

from sortedcontainers import SortedList

from mmgen.engine.job import Job
from mmgen.engine.scheduling.cost_model import Group
from mmgen.engine.scheduling.scheduler import PATIENCE, Entry, split
from mmgen.errors import BadRequest

AGEING = 10.0
"""Seconds that a job waits for as long as it is passed over by one that is a second shorter."""


class RankedQueue(ABC):
    """The first job of all, and others of its runner and key in the same order. Ranks do not change: nobody starves."""

    def __init__(self, max_batch: int = 64, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_batch, self.clock = max_batch, clock
        self._order: Any = SortedList()
        self._groups: dict[Group, Any] = {}
        self._held: dict[Job, Entry] = {}
        self._numbers = count()

    @abstractmethod
    def rank(self, job: Job) -> float: ...  # the least is served

    def __len__(self) -> int:
        return len(self._held)

    def set_weight(self, user: str, weight: float) -> None:
        """Weights say nothing here."""
        if not weight > 0:
            raise BadRequest(f"weight of {user} is {weight}; it must be above 0")

    def add(self, job: Job) -> None:
        entry = self._held[job] = (self.rank(job), next(self._numbers), job)
        self._order.add(entry)
        self._groups.setdefault((job.runner, job.key), SortedList()).add(entry)

    def remove(self, job: Job) -> None:
        if job not in self._held:
            return
        entry, group = self._held.pop(job), (job.runner, job.key)
        self._order.remove(entry)
        self._groups[group].remove(entry)
        if not self._groups[group]:
            del self._groups[group]

    def next(self) -> list[Job]:
        return self.beside(self._order[0][2]) if self._order else []

    def beside(self, job: Job) -> list[Job]:
        others = (other for _, _, other in self._groups[job.runner, job.key] if other is not job)
        return [job, *islice(others, self.max_batch - 1)]

    def charge(self, jobs: Sequence[Job], cost: float) -> list[float]:
        return split(cost, [job.units for job in jobs])


class Fifo(RankedQueue):
    """First come, first served, a request after the other and each to its end. Streaming jobs get no bounded gap."""

    bounds_gap = False

    def rank(self, job: Job) -> float:
        return 0.0  # the number decides

    def beside(self, job: Job) -> list[Job]:
        return [other for other in super().beside(job) if other.request is job.request]


class ByPriority(RankedQueue):
    """Interactive before normal before batch, the earliest deadline first; what waits for PATIENCE seconds moves up by one."""

    def rank(self, job: Job) -> float:
        now = self.clock()
        level = ("interactive", "normal", "batch").index(job.request.priority)
        soon = PATIENCE if job.request.deadline is None else min(PATIENCE, job.request.deadline - now)
        return now + PATIENCE * level + soon


class Shortest(RankedQueue):
    """The job with the least expected work first; who waits long enough comes before any later one."""

    def rank(self, job: Job) -> float:
        return self.clock() + AGEING * (job.expected_ms or 0.0) / 1000
