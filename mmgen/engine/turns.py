"""A policy held to what a streaming answer can bear. Knows costs and who streams; not runners or threads.

While a streaming answer is under way, work that is for none takes `max_gap_ms` in a row at most: a quantum that would be longer
runs with fewer jobs, as the cost model says, and if not even one fits, the answers go first. What one job alone cannot do in
less breaks the cap, each time behind a turn of every answer, unless its runner can do a part of it in the time that it is told;
that is counted, and said once. What the cap gives to answers beyond their user's share he owes: it is charged like all else.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence

from mmgen.engine.costs import Costs, Group
from mmgen.engine.job import Job
from mmgen.engine.scheduler import Scheduler

log = logging.getLogger(__name__)


class Turns:
    """`Scheduler` over another one. `max_gap_ms` None, or a policy that bounds no gap: only costs are learned."""

    def __init__(self, policy: Scheduler, costs: Costs | None = None, max_gap_ms: float | None = None) -> None:
        self.policy, self.costs = policy, Costs() if costs is None else costs
        self.max_gap_ms = max_gap_ms if getattr(policy, "bounds_gap", True) else None
        self.room: float | None = None  # milliseconds that the next quantum may take; None: as it likes
        self.longest_gap = 0.0  # milliseconds that a streaming answer waited for another's quanta
        self.broken: dict[str, int] = {}  # runner -> quanta that broke the cap
        self._told: set[Group] = set()
        self._others = 0.0  # milliseconds of all quanta in which nobody streamed
        self._served: OrderedDict[Job, float] = OrderedDict()  # streaming: the longest unserved first, and `_others` by then

    def __len__(self) -> int:
        return len(self.policy)

    def set_weight(self, user: str, weight: float) -> None:
        self.policy.set_weight(user, weight)

    def add(self, job: Job) -> None:
        self.policy.add(job)
        if job.streams:
            self._served[job] = self._others

    def remove(self, job: Job) -> None:
        self.policy.remove(job)
        self._served.pop(job, None)

    def next(self) -> list[Job]:
        batch, self.room = self.policy.next(), None
        if self.max_gap_ms is None or not self._served or not batch:
            return batch
        if any(job.streams for job in batch):
            return batch
        oldest, served = next(iter(self._served.items()))
        room = self.max_gap_ms - (self._others - served)
        fits = self.costs.largest(_group(batch), len(batch), room)
        if not fits and served != self._others:
            return self.policy.beside(oldest)
        self.room = room
        return batch[: max(1, fits)]

    def beside(self, job: Job) -> list[Job]:
        return self.policy.beside(job)

    def charge(self, jobs: Sequence[Job], cost: float) -> list[float]:
        self.costs.observe(_group(jobs), len(jobs), cost)
        parts = self.policy.charge(jobs, cost)
        if self._served:
            self._note(jobs, cost)
        return parts

    def _note(self, jobs: Sequence[Job], cost: float) -> None:
        streaming = [job for job in jobs if job.streams]
        for job in streaming:
            if job in self._served:
                self._served[job] = self._others
                self._served.move_to_end(job)
        if not streaming:
            self._others += cost
            self._gap(jobs, self._others - next(iter(self._served.values())), cost)

    def _gap(self, jobs: Sequence[Job], gap: float, cost: float) -> None:
        """`gap`: what the longest unserved answer waited by now."""
        self.longest_gap = max(self.longest_gap, gap)
        if self.max_gap_ms is None or gap <= self.max_gap_ms:
            return
        group = _group(jobs)
        self.broken[group[0]] = self.broken.get(group[0], 0) + 1
        if group not in self._told and len(self._told) < 1000:
            self._told.add(group)
            log.warning(
                "a streaming answer waited %.0f ms, the cap is %.0f: a quantum of %s with %d jobs took %.0f ms",
                gap, self.max_gap_ms, group[0], len(jobs), cost, extra={"request": jobs[0].request.id},
            )  # fmt: skip


def _group(jobs: Sequence[Job]) -> Group:
    return jobs[0].runner, jobs[0].key
