"""When a job will be done. Knows expected quanta, costs and shares; not the order within a priority, which the policy makes.

A fluid model of fair sharing (Parekh and Gallager 1993): a job's own priority gets its share of the device as long as others
have work, and all of it once they have none.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from mmgen.engine.costs import Costs, Estimate, Group
from mmgen.engine.job import Job
from mmgen.engine.scheduler import WEIGHTS
from mmgen.errors import DeadlineExceeded

TOGETHER = 64
"""Jobs that share a quantum at most."""


@dataclass(frozen=True)
class Outlook:
    """Seconds from now to a job's end."""

    alone: float  # with the device to itself
    least: float  # as the first of its user and priority, by the least that its quanta can cost: no order makes it less
    expected: float  # behind all that its user and priority wait for


@dataclass(eq=False)
class Waiting:
    """What a user has to do in a priority and group."""

    jobs: int = 0
    quanta: float = 0.0


class Forecast:
    """The account of all quanta that are still to come, of the jobs whose runner says how many it expects."""

    def __init__(self, costs: Costs) -> None:
        self.costs, self.weights = costs, dict[str, float]()
        self._lines: dict[tuple[str, str, Group], Waiting] = {}
        self._left: dict[Job, float] = {}

    def add(self, job: Job) -> None:
        if job.expected_quanta is not None:
            self._left[job] = self.expected(job)
            line = self._lines.setdefault(_line(job), Waiting())
            line.jobs, line.quanta = line.jobs + 1, line.quanta + self._left[job]

    def refuse_late(self, job: Job, estimate: Estimate) -> None:
        """Notes what is to come; raises DeadlineExceeded if that is too much for the time that its request has."""
        group = (job.runner, job.key)
        job.expected_quanta = estimate.quanta
        self.costs.expect(group, estimate.milliseconds)
        outlook, deadline = self.of(job), job.request.deadline
        if outlook is None:
            return
        job.expected_ms = 1000 * outlook.alone
        given = None if deadline is None else deadline - time.monotonic()
        if given is not None and outlook.least > given and self.costs.known(group):
            raise DeadlineExceeded(
                f"request {job.request.id} has {max(0.0, given):.3g} s, this {job.runner} job takes {outlook.least:.3g} s at "
                f"least ({outlook.alone:.3g} s of the device alone); allow it {outlook.expected:.3g} s or ask for less"
            )

    def took(self, job: Job) -> None:
        """A quantum went by."""
        if left := self._left.get(job):
            self._left[job] = max(0.0, left - 1)
            self._lines[_line(job)].quanta -= left - self._left[job]

    def remove(self, job: Job) -> None:
        left = self._left.pop(job, None)
        if left is not None:
            line = self._lines[_line(job)]
            line.jobs, line.quanta = line.jobs - 1, line.quanta - left
            if not line.jobs:
                del self._lines[_line(job)]

    def expected(self, job: Job) -> float:
        """Quanta, by what the runner expects at most and what its jobs took of that so far."""
        return max(1.0, (job.expected_quanta or 0.0) * self.costs.used(job.runner))

    def of(self, job: Job) -> Outlook | None:
        """For a job that is not added yet; None where the runner or the cost model knows nothing."""
        group = (job.runner, job.key)
        cost = self.costs.predict(group, 1)
        if job.expected_quanta is None or cost is None:
            return None
        alone = self.expected(job) * cost
        own, rest = 0.0, 0.0
        for (user, priority, other), line in self._lines.items():
            extra = int(other == group)
            todo = line.quanta * self._each(other, line.jobs + extra)
            if user == job.request.user and priority == job.request.priority:
                own += todo
            else:
                rest += todo
        mine = self.expected(job) * self._each(group, 1 + self._company(group))
        share = self._share(job.request.user, job.request.priority)
        expected = max(alone, min(own + rest + mine, (own + mine) / share))
        least = self.expected(job) * min(cost, self.costs.least(group) or 0.0)
        part = min(mine, least)
        first = max(least, min(rest + part, part / share))
        return Outlook(alone / 1000, min(first, expected) / 1000, expected / 1000)

    def soonest(self) -> float | None:
        """Seconds until the first of those under way ends: while all get equal shares, the one with the least to do."""
        todo = [
            left * self._each((job.runner, job.key), self._company((job.runner, job.key))) for job, left in self._left.items()
        ]
        return len(todo) * min(todo) / 1000 if todo else None

    def _company(self, group: Group) -> int:
        return sum(line.jobs for (_, _, other), line in self._lines.items() if other == group)

    def _each(self, group: Group, jobs: int) -> float:
        """A job's part of a quantum in that company."""
        size = min(max(1, jobs), TOGETHER)
        return (self.costs.predict(group, size) or 0.0) / size

    def _share(self, user: str, priority: str) -> float:
        """Of the device, while everybody who has work now goes on having it."""
        users = {user} | {name for name, _, _ in self._lines}
        priorities = {priority} | {other for name, other, _ in self._lines if name == user}
        of_users = self.weights.get(user, 1.0) / sum(self.weights.get(name, 1.0) for name in users)
        return of_users * WEIGHTS[priority] / sum(WEIGHTS[other] for other in priorities)


def _line(job: Job) -> tuple[str, str, Group]:
    return job.request.user, job.request.priority, (job.runner, job.key)
