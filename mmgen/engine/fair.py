"""The policy `fair`: users share the device's milliseconds by weight, and a user's priorities share his.

See shares.py for how. Within a priority the earliest deadline comes first; work without a near deadline takes turns, one runner
and key after the other.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, islice, zip_longest
from typing import Any

from sortedcontainers import SortedList

from mmgen.engine.costs import Group
from mmgen.engine.job import Job
from mmgen.engine.scheduler import PATIENCE, WEIGHTS, Entry, split
from mmgen.engine.shares import Flow, Shares
from mmgen.errors import BadRequest

LOOKED_AT = 2
"""Lines that are asked, for each that can share a quantum at most, whether they may."""


@dataclass(eq=False)
class Class(Flow):
    """A priority of a user."""

    lines: dict[Group, Line] = field(default_factory=dict)
    order: Any = field(default_factory=SortedList)  # the lines' ranks: the first is next
    moved: dict[Line, None] = field(default_factory=dict)  # lines whose rank in the order is another by now

    def first(self) -> Line:
        """The line that is next. Only here do those that moved take their places."""
        if len(self.lines) == 1:
            return next(iter(self.lines.values()))
        for line in self.moved:
            if line.rank is not None:
                self.order.remove(line.rank)
            line.rank = line.due() if line.entries else None
            if line.rank is not None:
                self.order.add(line.rank)
        self.moved.clear()
        first: Line = self.order[0][2]
        return first


@dataclass(eq=False)
class User(Flow):
    classes: Shares[Class] = field(default_factory=lambda: Shares(Class, WEIGHTS))


@dataclass(eq=False)
class Line:
    """Jobs of one user and priority that can share a forward pass."""

    user: User
    priority: Class
    turn: float  # the clock when it was made, or last had a quantum
    entries: Any = field(default_factory=SortedList)
    rank: tuple[float, int, Line] | None = None

    def due(self) -> tuple[float, int, Line]:
        """Sorts the lines of a priority."""
        _, number, job = self.entries[0]
        turn, deadline = self.turn + PATIENCE, job.request.deadline
        return (turn if deadline is None else min(turn, deadline)), number, self


class FairScheduler:
    """Weighted fair shares. `max_batch`: jobs of a quantum at most.

    Whoever is at most a quantum ahead of the least served may share the quantum, so that of two users who always have work
    neither gets ahead of the other by more than two of the longest quanta.
    """

    def __init__(self, max_batch: int = 64, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_batch, self.clock = max_batch, clock
        self.users: Shares[User] = Shares(User, {})
        self._held: dict[Job, tuple[Line, Entry]] = {}
        self._groups: dict[Group, OrderedDict[Line, None]] = {}  # the longest unserved first
        self._costs: dict[str, float] = {}  # runner -> its last quantum's
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._held)

    def set_weight(self, user: str, weight: float) -> None:
        """A user of weight 2 gets twice the milliseconds of one of weight 1 while both have work."""
        if not (weight > 0 and math.isfinite(weight)):
            raise BadRequest(f"weight of {user} is {weight}; it must be above 0")
        self.users.weights[user] = weight
        if user in self.users.flows:
            self.users.flows[user].weight = weight

    def add(self, job: Job) -> None:
        request, group, now = job.request, (job.runner, job.key), self.clock()
        user = self.users.join(request.user)
        priority = user.classes.join(request.priority)
        line = priority.lines.get(group)
        if line is None:
            line = priority.lines[group] = Line(user, priority, now)
            self._groups.setdefault(group, OrderedDict())[line] = None
        entry = (now + PATIENCE if request.deadline is None else request.deadline, next(self._numbers), job)
        line.entries.add(entry)
        if line.entries[0] is entry:
            priority.moved[line] = None
        self._held[job] = line, entry

    def remove(self, job: Job) -> None:
        if job not in self._held:
            return
        line, entry = self._held.pop(job)
        line.user.jobs -= 1
        line.priority.jobs -= 1
        first = line.entries[0] is entry
        line.entries.remove(entry)
        if first:
            line.priority.moved[line] = None
        if not line.entries:
            group = (job.runner, job.key)
            del line.priority.lines[group], self._groups[group][line]
            if not self._groups[group]:
                del self._groups[group]

    def next(self) -> list[Job]:
        """Whose turn it is, and with him others of the same runner and key: a job of every line in turn."""
        user = self.users.least()
        priority = user and user.classes.least()
        return self._batch(priority.first()) if priority else []

    def beside(self, job: Job) -> list[Job]:
        """That job first, and others of its runner and key."""
        others = (other for other in self._batch(self._held[job][0]) if other is not job)
        return [job, *islice(others, self.max_batch - 1)]

    def charge(self, jobs: Sequence[Job], cost: float) -> list[float]:
        """Splits what a quantum cost among its jobs by their units."""
        parts, now = split(cost, [job.units for job in jobs]), self.clock()
        served: dict[Line, None] = {}
        for job, part in zip(jobs, parts, strict=True):
            line, _ = self._held[job]
            served[line] = None
            line.user.virtual += part / line.user.weight
            line.priority.virtual += part / line.priority.weight
        group = (jobs[0].runner, jobs[0].key)
        lines = self._groups[group]
        for line in served:
            line.turn = now
            line.priority.moved[line] = None
            lines.move_to_end(line)
        self._costs[jobs[0].runner] = cost
        return parts

    def _batch(self, first: Line) -> list[Job]:
        _, _, head = first.entries[0]
        lines = [first, *islice(self._sharing(first, (head.runner, head.key)), self.max_batch - 1)]
        turns = chain.from_iterable(zip_longest(*(line.entries for line in lines)))
        return [entry[2] for entry in islice(filter(None, turns), self.max_batch)]

    def _sharing(self, first: Line, group: Group) -> Iterator[Line]:
        """Other lines of the group that may share a quantum."""
        lead, least = self._costs.get(group[0], 0.0), self.users.least()
        assert least is not None
        for line in islice(self._groups[group], LOOKED_AT * self.max_batch):
            user = line.user
            if line is first or user.virtual > least.virtual + lead / user.weight:
                continue
            if len(user.classes.flows) == 1 or user.classes.close_to_least(line.priority, lead):
                yield line
