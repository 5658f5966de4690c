"""Caps the time that other work takes in a row while a job streams. Time granted by the cap is charged to the user who got it.

While a job streams, steps of others take `max_gap_ms` in a row at most: one that would take longer runs with a smaller batch,
as the cost model predicts, and if not even one job fits, the streaming jobs go first. A step with preemption points keeps its
batch, and streaming jobs run inside it. A single job, or a single part of a step, that takes longer breaks the cap, each time
after a quantum of every streaming job, unless its runner does a part of it in the time that it is given (`room_ms`); that is
counted, and logged once.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Sequence

from mmgen.engine.job import Job
from mmgen.engine.scheduling.cost_model import CostModel, Group
from mmgen.engine.scheduling.scheduler import Scheduler

log = logging.getLogger(__name__)


class GapLimiter:
    """`Scheduler` over another one. `max_gap_ms` None, or a policy that bounds no gap: only costs are learned."""

    def __init__(self, policy: Scheduler, costs: CostModel | None = None, max_gap_ms: float | None = None) -> None:
        self.policy, self.costs = policy, CostModel() if costs is None else costs
        self.max_gap_ms = max_gap_ms if getattr(policy, "bounds_gap", True) else None
        self.room: float | None = None  # milliseconds that the next quantum may take; None: as it likes
        self.longest_gap = 0.0  # milliseconds that a streaming answer waited for another's quanta
        self.broken: dict[str, int] = {}  # runner -> quanta that broke the cap
        self._told: set[Group] = set()
        self._others = 0.0  # milliseconds of all quanta in which nobody streamed
        self._noted = 0.0  # ... of which the quantum under way took so much
        self._served: OrderedDict[Job, float] = OrderedDict()  # streaming: the longest unserved first, and `_others` by then
        self._parts: dict[str, float] = {}  # runner that pauses -> milliseconds of its longest part
        self._new: list[Job] = []  # streaming, and came while that was under way

    def __len__(self) -> int:
        return len(self.policy)

    def set_weight(self, user: str, weight: float) -> None:
        self.policy.set_weight(user, weight)

    def add(self, job: Job) -> None:
        self.policy.add(job)
        if job.streams:
            self._served[job] = self._others
            self._new.append(job)

    def remove(self, job: Job) -> None:
        self.policy.remove(job)
        self._served.pop(job, None)

    @property
    def streaming(self) -> bool:
        """Whether an answer is under way that is not to wait."""
        return self.max_gap_ms is not None and bool(self._served)

    def next(self) -> list[Job]:
        batch, self.room = self.policy.next(), None
        self._noted, self._new = 0.0, []
        if self.max_gap_ms is None or not self._served or not batch:
            return batch
        if any(job.streams for job in batch):
            return batch
        oldest, served = next(iter(self._served.items()))
        room = self.max_gap_ms - (self._others - served)
        part = self._parts.get(batch[0].runner) if batch[0].pauses else None
        whole = part is not None and (room > part or served == self._others)
        fits = len(batch) if whole else self.costs.largest(_group(batch), len(batch), room)
        if not fits and served != self._others:
            return self.policy.beside(oldest)
        self.room = room
        return batch[: max(1, fits)]

    def beside(self, job: Job) -> list[Job]:
        return self.policy.beside(job)

    def left(self, spent: float) -> float:
        """Milliseconds until an answer is due, in the middle of a quantum that took `spent` so far; inf: nobody waits."""
        if self.max_gap_ms is None or not self._served:
            return math.inf
        others = self._others + spent - self._noted
        for job in self._new:  # came in the meantime, and waited for nobody
            if job in self._served:
                self._served[job] = others
        self._new = []
        return self.max_gap_ms - (others - next(iter(self._served.values())))

    def due(self, jobs: Sequence[Job], spent: float, part: float) -> list[Job]:
        """In the middle of a quantum of those jobs: the answers that are due before it comes to the end of its next part, and
        those that came in the meantime, if the policy chooses them: whoever is behind his share need not wait for its end.

        Args:
            spent: milliseconds that the quantum took so far.
            part: milliseconds of its longest part. One that is longer than the cap breaks it, whoever went before: it counts
                as half of it.
        """
        if self.max_gap_ms is None or jobs[0].streams:
            return []
        self._parts[jobs[0].runner] = part
        came = any(job in self._served for job in self._new)
        left = self.left(spent)
        if left <= (part if part < self.max_gap_ms else self.max_gap_ms / 2):
            batch = self.policy.beside(next(iter(self._served)))
        else:
            batch = self._answers() if came else []
        batch = [job for job in batch if job not in jobs]  # where a runner that streams pauses too, they would share a quantum
        if batch:
            self._elapsed(jobs, spent - self._noted)
            self._noted, self.room = spent, None
        return batch

    def _answers(self) -> list[Job]:
        """Whose turn it would be, if an answer is among them."""
        batch = self.policy.next()
        return batch if any(job.streams for job in batch) else []

    def charge(self, jobs: Sequence[Job], cost: float, rounds: int = 1) -> list[float]:
        """`rounds`: quanta in a row that cost so much together."""
        self.costs.observe(_group(jobs), len(jobs), cost / rounds)
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
            self._elapsed(jobs, cost - self._noted)

    def _elapsed(self, jobs: Sequence[Job], cost: float) -> None:
        """Work of theirs took so long that is for no answer."""
        self._others += cost
        if not self._served:
            return
        gap = self._others - next(iter(self._served.values()))  # what the longest unserved answer waited by now
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
