"""Completion estimates from expected quanta, the cost model and fair shares.

A fluid model of fair sharing (Parekh and Gallager 1993): a job's own priority gets its share of the device as long as others
have work, and all of it once they have none. It ignores later arrivals; forecast_correction.py learns their effect.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from mmgen.engine.job import Job
from mmgen.engine.scheduling.cost_model import CostModel, Estimate, Group
from mmgen.engine.scheduling.forecast_correction import FluidEstimate, ForecastCorrection
from mmgen.engine.scheduling.scheduler import WEIGHTS
from mmgen.errors import DeadlineExceeded

TOGETHER = 64
"""Jobs that share a quantum at most."""


@dataclass(frozen=True)
class CompletionEstimate:
    """Seconds from now to a job's end."""

    alone: float  # with the device to itself
    least: float  # as the first of its user and priority, by the least that its quanta can cost: no order makes it less
    expected: float  # in company, of those who wait and of those who are to come, by what became of such jobs


@dataclass(eq=False)
class WaitingWork:
    """Jobs and quanta that are still to come."""

    jobs: int = 0
    quanta: float = 0.0


@dataclass(eq=False, slots=True)
class RemainingWork:
    """Quanta that a job still needs."""

    quanta: float
    queue: WaitingWork  # it is counted in both
    group: WaitingWork


class Forecast:
    """The account of all quanta that are still to come, of the jobs whose runner says how many it expects."""

    def __init__(self, costs: CostModel, clock: Callable[[], float] = time.monotonic) -> None:
        self.costs, self.weights, self.clock = costs, dict[str, float](), clock
        self.correction = ForecastCorrection(clock)
        self._queues: dict[tuple[str, str], dict[Group, WaitingWork]] = {}  # by user and priority
        self._groups: dict[Group, WaitingWork] = {}  # of all together
        self._left: dict[Job, RemainingWork] = {}
        self._said: dict[Job, tuple[float, FluidEstimate, float]] = {}  # when, what, and the jobs that there were lately

    def add(self, job: Job, ahead: FluidEstimate | None = None) -> None:
        """`ahead`: what was foreseen of it, if its end is to be learned from."""
        if job.expected_quanta is None:
            return
        if ahead is not None:
            self._said[job] = self.clock(), ahead, self.correction.lately()
        group, quanta = (job.runner, job.key), self.expected(job)
        queue = self._queues.setdefault(_whose(job), {}).setdefault(group, WaitingWork())
        self._left[job] = left = RemainingWork(quanta, queue, self._groups.setdefault(group, WaitingWork()))
        for one in (left.queue, left.group):
            one.jobs, one.quanta = one.jobs + 1, one.quanta + quanta
        self.correction.count(len(self._left))

    def refuse_late(self, job: Job, estimate: Estimate) -> FluidEstimate | None:
        """Notes what is to come; raises DeadlineExceeded if that is too much for the time that its request has."""
        group = (job.runner, job.key)
        job.expected_quanta = estimate.quanta
        self.costs.expect(group, estimate.milliseconds)
        ahead, deadline = self.ahead(job), job.request.deadline
        if ahead is None:
            return None
        job.expected_ms = 1000 * ahead.alone
        expected = self.correction.expect(_kind(job), ahead)
        job.expected_end = self.clock() + expected
        given = None if deadline is None else deadline - self.clock()
        if given is not None and ahead.least > given and self.costs.known(group):
            raise DeadlineExceeded(
                f"request {job.request.id} has {max(0.0, given):.3g} s, this {job.runner} job takes {ahead.least:.3g} s at "
                f"least ({ahead.alone:.3g} s of the device alone); allow it {expected:.3g} s or ask for less"
            )
        return ahead

    def took(self, job: Job, quanta: int = 1) -> None:
        """So many went by."""
        if left := self._left.get(job):
            part = min(float(quanta), left.quanta)
            left.quanta -= part
            left.queue.quanta -= part
            left.group.quanta -= part

    def remove(self, job: Job) -> None:
        left, said = self._left.pop(job, None), self._said.pop(job, None)
        if left is None:
            return
        group = job.runner, job.key
        for one, where in ((left.queue, self._queues[_whose(job)]), (left.group, self._groups)):
            one.jobs, one.quanta = one.jobs - 1, one.quanta - left.quanta
            if not one.jobs:
                del where[group]
        if not self._queues[_whose(job)]:
            del self._queues[_whose(job)]
        self.correction.count(len(self._left))
        if said is not None and job.status == "done":
            when, ahead, lately = said
            self.correction.learn(_kind(job), ahead, lately, self.clock() - when)

    def expected(self, job: Job) -> float:
        """Quanta, by what the runner expects at most and what its jobs took of that so far."""
        return max(1.0, (job.expected_quanta or 0.0) * self.costs.used(job.runner))

    def of(self, job: Job) -> CompletionEstimate | None:
        """For a job that is not added yet; None where the runner or the cost model knows nothing."""
        ahead = self.ahead(job)
        if ahead is None:
            return None
        return CompletionEstimate(ahead.alone, ahead.least, self.correction.expect(_kind(job), ahead))

    def ahead(self, job: Job) -> FluidEstimate | None:
        """`of` by what is there now, nothing learned."""
        group, quanta = (job.runner, job.key), self.expected(job)
        cost = self.costs.predict(group, 1)
        if job.expected_quanta is None or cost is None:
            return None
        alone, company = quanta * cost, 1 + self._company(group)
        mine = quanta * self._each(group, company)
        own, turns, queues = 0.0, mine, self._queues.get(_whose(job), {})
        for other, queue in queues.items():
            each = self._each(other, queue.jobs + int(other == group))
            own += queue.quanta * each
            if other == group:  # they share its passes
                turns += queue.jobs * mine
            else:  # a pass of theirs after each of its own
                turns += quanta * max(1.0, company / TOGETHER) * min(queue.jobs, TOGETHER) * each
        rest = 0.0
        for other, all_ in self._groups.items():
            theirs = all_.quanta - (queues[other].quanta if other in queues else 0.0)
            rest += max(0.0, theirs) * self._each(other, all_.jobs + int(other == group))
        share = self._share(job.request.user, job.request.priority)
        emptying = max(alone, min(own + rest + mine, (own + mine) / share))
        least = quanta * min(cost, self.costs.least(group) or 0.0)
        part = min(mine, least)
        first = max(least, min(rest + part, part / share))
        return FluidEstimate(alone / 1000, min(first, emptying) / 1000, emptying / 1000, max(alone, turns / share) / 1000)

    def todo(self) -> float:
        """Seconds of the device that all jobs together are expected to take; those of unknown cost count as nothing."""
        return sum(max(0.0, all_.quanta) * self._each(group, all_.jobs) for group, all_ in self._groups.items()) / 1000

    def soonest(self) -> float | None:
        """Seconds until the first of those under way ends: while all get equal shares, the one with the least to do."""
        parts = {group: self._each(group, all_.jobs) for group, all_ in self._groups.items()}
        todo = [left.quanta * parts[job.runner, job.key] for job, left in self._left.items()]
        return len(todo) * min(todo) / 1000 if todo else None

    def _company(self, group: Group) -> int:
        return self._groups[group].jobs if group in self._groups else 0

    def _each(self, group: Group, jobs: int) -> float:
        """A job's part of a quantum in that company."""
        size = min(max(1, jobs), TOGETHER)
        return (self.costs.predict(group, size) or 0.0) / size

    def _share(self, user: str, priority: str) -> float:
        """Of the device, while everybody who has work now goes on having it."""
        users = {user} | {name for name, _ in self._queues}
        priorities = {priority} | {other for name, other in self._queues if name == user}
        of_users = self.weights.get(user, 1.0) / sum(self.weights.get(name, 1.0) for name in users)
        return of_users * WEIGHTS[priority] / sum(WEIGHTS[other] for other in priorities)


def _whose(job: Job) -> tuple[str, str]:
    return job.request.user, job.request.priority


def _kind(job: Job) -> tuple[str, str]:
    """Jobs that fare alike."""
    return job.runner, job.request.priority
