"""Who is next. Knows users, priorities, deadlines and measured cost; not runners or what a quantum does.

Start-time fair queueing (Goyal, Vin and Cheng 1996) over device-milliseconds, as VTC does over tokens (Sheng et al. 2024,
arXiv 2401.00588): every user has a virtual time that grows by milliseconds / weight, and the least is served. Who comes back
from idleness starts no earlier than the clock, the least virtual time of all with work, so that idleness is neither punished
nor saved up. Within a user the priorities share in the same way. Within a priority the earliest deadline comes first; work
without a near deadline takes turns, one runner and key after the other.
"""

from __future__ import annotations

import heapq
import math
import time
from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, islice, zip_longest
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

from mmgen.engine.job import Job
from mmgen.errors import BadRequest

WEIGHTS = {"interactive": 8.0, "normal": 4.0, "batch": 1.0}
PATIENCE = 60.0  # seconds: what waits longer goes before any deadline that is still to come
Group = tuple[str, Hashable]  # runner and key: jobs that can share a forward pass
Entry = tuple[float, int, Job]  # deadline, number of the submission, job: sorts as the jobs are to be served


class Scheduler(Protocol):
    """What the engine asks, always under its own lock. A job with work is held from `add` to `remove`."""

    def __len__(self) -> int: ...
    def set_weight(self, user: str, weight: float) -> None: ...
    def add(self, job: Job) -> None: ...  # job.key is set
    def remove(self, job: Job) -> None: ...  # the job ended
    def next(self) -> list[Job]: ...  # jobs of one runner and key for a quantum; empty when there is no work
    def charge(self, jobs: Sequence[Job], cost: float) -> list[float]: ...  # what it cost, before `remove` -> each job's part


@dataclass(eq=False)
class Flow:
    """Who has a claim on the device: a user, or a priority of a user."""

    weight: float
    virtual: float = 0.0  # cost / weight
    jobs: int = 0


F = TypeVar("F", bound=Flow)


class Shares(Generic[F]):
    """Flows side by side, and their clock. Who is idle and behind the clock is forgotten: he would start there anyway."""

    def __init__(self, make: Callable[[float], F], weights: dict[str, float]) -> None:
        self.make, self.weights = make, weights
        self.flows: dict[str, F] = {}
        self.clock = 0.0
        self._heap: list[tuple[float, float, str]] = []  # virtual times only grow: an entry may be behind its flow, never ahead

    def least(self) -> F | None:
        """Of the flows with jobs the one that has had least, or the heavier; sets the clock by it."""
        while self._heap:
            virtual, _, name = self._heap[0]
            flow = self.flows[name]
            if flow.virtual > virtual:
                heapq.heapreplace(self._heap, (flow.virtual, -flow.weight, name))
                continue
            self.clock = max(self.clock, flow.virtual)
            if flow.jobs:
                return flow
            heapq.heappop(self._heap)
            del self.flows[name]
        return None

    def join(self, name: str) -> F:
        """One more job of that flow."""
        self.least()
        flow = self.flows.get(name)
        if flow is None:
            flow = self.flows[name] = self.make(self.weights.get(name, 1.0))
            flow.virtual = self.clock
            heapq.heappush(self._heap, (flow.virtual, -flow.weight, name))
        flow.jobs += 1
        return flow

    def close_to_least(self, flow: F, lead: float) -> bool:
        """Whether it has had at most `lead` more than its share."""
        least = self.least()
        return least is not None and flow.virtual <= least.virtual + lead / flow.weight


@dataclass(eq=False)
class Class(Flow):
    """A priority of a user."""

    lines: dict[Group, Line] = field(default_factory=dict)


@dataclass(eq=False)
class User(Flow):
    classes: Shares[Class] = field(default_factory=lambda: Shares(Class, WEIGHTS))


@dataclass(eq=False)
class Line:
    """Jobs of one user and priority that can share a forward pass."""

    user: User
    priority: Class
    turn: float  # time.monotonic() seconds when it was made, or last had a quantum
    entries: list[Entry] = field(default_factory=list)  # sorted

    def due(self) -> tuple[float, int]:
        """Sorts the lines of a priority: the first is next."""
        _, number, job = self.entries[0]
        turn, deadline = self.turn + PATIENCE, job.request.deadline
        return (turn if deadline is None else min(turn, deadline)), number


class FairScheduler:
    """Weighted fair shares. `max_batch`: jobs of a quantum at most.

    Whoever is at most a quantum ahead of the least served may share the quantum, so that of two users who always have work
    neither gets ahead of the other by more than two of the longest quanta.
    """

    def __init__(self, max_batch: int = 64) -> None:
        self.max_batch = max_batch
        self.users: Shares[User] = Shares(User, {})
        self._held: dict[Job, tuple[Line, Entry]] = {}
        self._groups: dict[Group, dict[Line, None]] = {}
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
        request, group, now = job.request, (job.runner, job.key), time.monotonic()
        user = self.users.join(request.user)
        priority = user.classes.join(request.priority)
        line = priority.lines.get(group)
        if line is None:
            line = priority.lines[group] = Line(user, priority, now)
            self._groups.setdefault(group, {})[line] = None
        entry = (now + PATIENCE if request.deadline is None else request.deadline, next(self._numbers), job)
        insort(line.entries, entry)
        self._held[job] = line, entry

    def remove(self, job: Job) -> None:
        if job not in self._held:
            return
        line, entry = self._held.pop(job)
        line.user.jobs -= 1
        line.priority.jobs -= 1
        del line.entries[bisect_left(line.entries, entry)]
        if not line.entries:
            group = (job.runner, job.key)
            del line.priority.lines[group], self._groups[group][line]
            if not self._groups[group]:
                del self._groups[group]

    def next(self) -> list[Job]:
        """Whose turn it is, and with him others of the same runner and key: a job of every line in turn."""
        user = self.users.least()
        priority = user and user.classes.least()
        if not priority:
            return []
        group, first = min(priority.lines.items(), key=lambda item: item[1].due())
        others = (line for line in sorted(self._groups[group], key=attrgetter("user.virtual")) if line is not first)
        lead = self._costs.get(group[0], 0.0)
        lines = [first, *islice((line for line in others if self._may_share(line, lead)), self.max_batch - 1)]
        turns = chain.from_iterable(zip_longest(*(line.entries for line in lines)))
        return [entry[2] for entry in islice(filter(None, turns), self.max_batch)]

    def charge(self, jobs: Sequence[Job], cost: float) -> list[float]:
        """Splits what a quantum cost among its jobs by their units."""
        parts, now = split(cost, [job.units for job in jobs]), time.monotonic()
        for job, part in zip(jobs, parts, strict=True):
            line, _ = self._held[job]
            line.turn = now
            line.user.virtual += part / line.user.weight
            line.priority.virtual += part / line.priority.weight
        self._costs[jobs[0].runner] = cost
        return parts

    def _may_share(self, line: Line, lead: float) -> bool:
        return self.users.close_to_least(line.user, lead) and line.user.classes.close_to_least(line.priority, lead)


def split(cost: float, units: Sequence[float]) -> list[float]:
    """In proportion to the units; evenly where they say nothing (all 0, negative, not finite)."""
    total = sum(units)
    if not (0 < total < math.inf and min(units) >= 0):
        return [cost / len(units)] * len(units)
    return [cost * own / total for own in units]
