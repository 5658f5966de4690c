"""Who is next. Knows users, priorities, deadlines and measured milliseconds; not runners or what a quantum does.

Start-time fair queueing (Goyal, Vin and Cheng 1996) over device-milliseconds, as VTC does over tokens (Sheng et al. 2024,
arXiv 2401.00588): every user has a virtual time that grows by milliseconds / weight, and the least is served. Who comes back
from idleness starts no earlier than the clock, the virtual time of whom was served last, so that idleness is neither punished
nor saved up. Within a user the priorities share in the same way, and within a priority the earliest deadline comes first, then
the earliest submission.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from mmgen.engine.job import Job
from mmgen.errors import BadRequest

WEIGHTS = {"interactive": 8.0, "normal": 4.0, "batch": 1.0}
Group = tuple[str, Hashable]  # runner and key: jobs that can share a forward pass


@dataclass
class Share:
    """A flow with a claim on the device: a user, or a priority of a user."""

    weight: float = 1.0
    virtual: float = 0.0  # milliseconds / weight
    jobs: int = 0  # at work or waiting


@dataclass
class Shares:
    """Flows side by side, and their clock."""

    flows: dict[str, Any] = field(default_factory=dict)
    clock: float = 0.0

    def join(self, name: str) -> None:
        """One more job of that flow."""
        flow = self.flows[name]
        if not flow.jobs:
            flow.virtual = max(flow.virtual, self.clock)
        flow.jobs += 1

    def leave(self, name: str) -> None:
        """One job fewer; when all are idle the past is forgotten: all will start even."""
        self.flows[name].jobs -= 1
        if not any(flow.jobs for flow in self.flows.values()):
            self.clock = max(flow.virtual for flow in self.flows.values())

    def working(self) -> list[str]:
        """Flows with jobs, who has had least first."""
        return sorted((name for name, flow in self.flows.items() if flow.jobs), key=lambda name: self.flows[name].virtual)

    def charge(self, name: str, milliseconds: float) -> None:
        flow = self.flows[name]
        self.clock = max(self.clock, min(flow.virtual, *(f.virtual for f in self.flows.values() if f.jobs)))
        flow.virtual += milliseconds / flow.weight


def priorities() -> Shares:
    return Shares({name: Share(weight) for name, weight in WEIGHTS.items()})


@dataclass
class User(Share):
    classes: Shares = field(default_factory=priorities)
    queues: dict[str, list[tuple[float, int, Job]]] = field(default_factory=lambda: {name: [] for name in WEIGHTS})
    groups: dict[Group, dict[Job, None]] = field(default_factory=dict)  # oldest first


class FairScheduler:
    """Holds every admitted job until it ends. Called from the engine's thread, but for `set_weight`."""

    def __init__(self, max_batch: int = 64) -> None:
        self.max_batch = max_batch
        self.users = Shares()
        self._jobs: set[Job] = set()
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._jobs)

    def set_weight(self, user: str, weight: float) -> None:
        """A user of weight 2 gets twice the milliseconds of one of weight 1 while both have work."""
        if not (weight > 0 and math.isfinite(weight)):
            raise BadRequest(f"weight of {user} is {weight}; it must be above 0")
        self._user(user).weight = weight

    def add(self, job: Job) -> None:
        name, priority = job.request.user, job.request.priority
        user = self._user(name)
        self.users.join(name)
        user.classes.join(priority)
        deadline = math.inf if job.request.deadline is None else job.request.deadline
        heapq.heappush(user.queues[priority], (deadline, next(self._numbers), job))
        user.groups.setdefault((job.runner, job.key), {})[job] = None
        self._jobs.add(job)

    def remove(self, job: Job) -> None:
        """The job ended."""
        if job not in self._jobs:
            return
        self._jobs.remove(job)
        user, priority = self._user(job.request.user), job.request.priority
        self.users.leave(job.request.user)
        user.classes.leave(priority)
        if not user.classes.flows[priority].jobs:
            user.queues[priority].clear()  # ended jobs may still stand there
        group = (job.runner, job.key)
        del user.groups[group][job]
        if not user.groups[group]:
            del user.groups[group]

    def next(self) -> list[Job]:
        """The next quantum's jobs, all of one runner and key; empty when there is no work."""
        working = [self._user(name) for name in self.users.working()]
        if not working:
            return []
        head = self._head(working[0])
        group = (head.runner, head.key)
        batch = [head]
        lines: list[Iterator[Job]] = [iter(user.groups[group]) for user in working if group in user.groups]
        while lines and len(batch) < self.max_batch:  # one of each user in turn, who has had least first
            for line in list(lines):
                job = next(line, None)
                if job is None:
                    lines.remove(line)
                elif job is not head and len(batch) < self.max_batch:
                    batch.append(job)
        return batch

    def charge(self, jobs: Sequence[Job], milliseconds: float) -> None:
        """Splits a quantum's milliseconds among its jobs by their units. Call it before `remove`."""
        total = sum(job.units for job in jobs)
        for job in jobs:
            cost = milliseconds * (job.units / total if total > 0 else 1 / len(jobs))
            job.device_ms += cost
            self.users.charge(job.request.user, cost)
            self._user(job.request.user).classes.charge(job.request.priority, cost)

    def _user(self, name: str) -> User:
        user: User = self.users.flows.setdefault(name, User())
        return user

    def _head(self, user: User) -> Job:
        queue = user.queues[user.classes.working()[0]]
        while queue[0][2] not in self._jobs:  # ended since it was queued
            heapq.heappop(queue)
        return queue[0][2]
