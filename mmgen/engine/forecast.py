"""When a job will be done. Knows expected quanta, costs and shares; not the order within a priority, which the policy makes.

A fluid model of fair sharing (Parekh and Gallager 1993): a job's own priority gets its share of the device as long as others
have work, and all of it once they have none. It knows nobody who comes later; what those mean is learned, see hindsight.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from mmgen.engine.costs import Costs, Estimate, Group
from mmgen.engine.hindsight import Ahead, Hindsight
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
    expected: float  # in company, of those who wait and of those who are to come, by what became of such jobs


@dataclass(eq=False)
class Waiting:
    """What a user has to do in a priority and group."""

    jobs: int = 0
    quanta: float = 0.0


@dataclass(eq=False, slots=True)
class Left:
    """What a job has to do."""

    quanta: float
    line: Waiting


class Forecast:
    """The account of all quanta that are still to come, of the jobs whose runner says how many it expects."""

    def __init__(self, costs: Costs, clock: Callable[[], float] = time.monotonic) -> None:
        self.costs, self.weights, self.clock = costs, dict[str, float](), clock
        self.hindsight = Hindsight(clock)
        self._lines: dict[tuple[str, str, Group], Waiting] = {}
        self._left: dict[Job, Left] = {}
        self._jobs: dict[Group, int] = {}
        self._said: dict[Job, tuple[float, Ahead, float]] = {}  # when, what, and the jobs that there were lately

    def add(self, job: Job, ahead: Ahead | None = None) -> None:
        """`ahead`: what was foreseen of it, if its end is to be learned from."""
        if job.expected_quanta is None:
            return
        if ahead is not None:
            self._said[job] = self.clock(), ahead, self.hindsight.lately()
        quanta, line = self.expected(job), self._lines.setdefault(_line(job), Waiting())
        line.jobs, line.quanta = line.jobs + 1, line.quanta + quanta
        self._left[job] = Left(quanta, line)
        self._jobs[job.runner, job.key] = self._company((job.runner, job.key)) + 1
        self.hindsight.count(len(self._left))

    def refuse_late(self, job: Job, estimate: Estimate) -> Ahead | None:
        """Notes what is to come; raises DeadlineExceeded if that is too much for the time that its request has."""
        group = (job.runner, job.key)
        job.expected_quanta = estimate.quanta
        self.costs.expect(group, estimate.milliseconds)
        ahead, deadline = self.ahead(job), job.request.deadline
        if ahead is None:
            return None
        job.expected_ms = 1000 * ahead.alone
        given = None if deadline is None else deadline - self.clock()
        if given is not None and ahead.least > given and self.costs.known(group):
            expected = self.hindsight.expect(_kind(job), ahead)
            raise DeadlineExceeded(
                f"request {job.request.id} has {max(0.0, given):.3g} s, this {job.runner} job takes {ahead.least:.3g} s at "
                f"least ({ahead.alone:.3g} s of the device alone); allow it {expected:.3g} s or ask for less"
            )
        return ahead

    def took(self, job: Job) -> None:
        """A quantum went by."""
        if left := self._left.get(job):
            part = min(1.0, left.quanta)
            left.quanta -= part
            left.line.quanta -= part

    def remove(self, job: Job) -> None:
        left, said = self._left.pop(job, None), self._said.pop(job, None)
        if left is None:
            return
        left.line.jobs, left.line.quanta = left.line.jobs - 1, left.line.quanta - left.quanta
        if not left.line.jobs:
            del self._lines[_line(job)]
        group = job.runner, job.key
        self._jobs[group] -= 1
        if not self._jobs[group]:
            del self._jobs[group]
        self.hindsight.count(len(self._left))
        if said is not None and job.status == "done":
            when, ahead, lately = said
            self.hindsight.learn(_kind(job), ahead, lately, self.clock() - when)

    def expected(self, job: Job) -> float:
        """Quanta, by what the runner expects at most and what its jobs took of that so far."""
        return max(1.0, (job.expected_quanta or 0.0) * self.costs.used(job.runner))

    def of(self, job: Job) -> Outlook | None:
        """For a job that is not added yet; None where the runner or the cost model knows nothing."""
        ahead = self.ahead(job)
        if ahead is None:
            return None
        return Outlook(ahead.alone, ahead.least, self.hindsight.expect(_kind(job), ahead))

    def ahead(self, job: Job) -> Ahead | None:
        """`of` by what is there now, nothing learned."""
        group, quanta = (job.runner, job.key), self.expected(job)
        cost = self.costs.predict(group, 1)
        if job.expected_quanta is None or cost is None:
            return None
        alone, company = quanta * cost, 1 + self._company(group)
        mine = quanta * self._each(group, company)
        own, rest, turns = 0.0, 0.0, mine
        for (user, priority, other), line in self._lines.items():
            each = self._each(other, line.jobs + int(other == group))
            if user != job.request.user or priority != job.request.priority:
                rest += line.quanta * each
                continue
            own += line.quanta * each
            if other == group:  # they share its passes
                turns += line.jobs * mine
            else:  # a pass of theirs after each of its own
                turns += quanta * max(1.0, company / TOGETHER) * min(line.jobs, TOGETHER) * each
        share = self._share(job.request.user, job.request.priority)
        emptying = max(alone, min(own + rest + mine, (own + mine) / share))
        least = quanta * min(cost, self.costs.least(group) or 0.0)
        part = min(mine, least)
        first = max(least, min(rest + part, part / share))
        return Ahead(alone / 1000, min(first, emptying) / 1000, emptying / 1000, max(alone, turns / share) / 1000)

    def soonest(self) -> float | None:
        """Seconds until the first of those under way ends: while all get equal shares, the one with the least to do."""
        parts = {group: self._each(group, jobs) for group, jobs in self._jobs.items()}
        todo = [left.quanta * parts[job.runner, job.key] for job, left in self._left.items()]
        return len(todo) * min(todo) / 1000 if todo else None

    def _company(self, group: Group) -> int:
        return self._jobs.get(group, 0)

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


def _kind(job: Job) -> tuple[str, str]:
    """Jobs that fare alike."""
    return job.runner, job.request.priority
