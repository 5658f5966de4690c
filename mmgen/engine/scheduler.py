"""Who is next. Knows users, priorities, deadlines and measured milliseconds; not runners or what a quantum does.

Start-time fair queueing (Goyal, Vin and Cheng 1996) over device-milliseconds, as VTC does over tokens (Sheng et al. 2024, arXiv
2401.00588): every user has a virtual time that grows by milliseconds / weight, and the least is served. Who comes back from
idleness starts at the least virtual time of those at work, so that idleness is neither punished nor saved up. Within a user the
priorities share in the same way, and within a priority the earliest deadline comes first, then the earliest submission.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

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
class User(Share):
    classes: dict[str, Share] = field(default_factory=lambda: {name: Share(weight) for name, weight in WEIGHTS.items()})
    queues: dict[str, list[tuple[float, int, Job]]] = field(default_factory=lambda: {name: [] for name in WEIGHTS})
    groups: dict[Group, dict[Job, None]] = field(default_factory=dict)  # oldest first


class FairScheduler:
    """Holds every admitted job until it ends. Called from the engine's thread, but for `set_weight`."""

    def __init__(self, max_batch: int = 64) -> None:
        self.max_batch = max_batch
        self.users: dict[str, User] = {}
        self._jobs: set[Job] = set()
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._jobs)

    def set_weight(self, user: str, weight: float) -> None:
        """A user of weight 2 gets twice the milliseconds of one of weight 1 while both have work."""
        if not (weight > 0 and math.isfinite(weight)):
            raise BadRequest(f"weight of {user} is {weight}; it must be above 0")
        self.users.setdefault(user, User()).weight = weight

    def add(self, job: Job) -> None:
        name, priority = job.request.user, job.request.priority
        user = self.users.setdefault(name, User())
        _join(user, self.users.values())
        _join(user.classes[priority], user.classes.values())
        deadline = math.inf if job.request.deadline is None else job.request.deadline
        heapq.heappush(user.queues[priority], (deadline, next(self._numbers), job))
        user.groups.setdefault((job.runner, job.key), {})[job] = None
        self._jobs.add(job)

    def remove(self, job: Job) -> None:
        """The job ended."""
        if job not in self._jobs:
            return
        self._jobs.remove(job)
        user = self.users[job.request.user]
        user.jobs -= 1
        user.classes[job.request.priority].jobs -= 1
        if not user.classes[job.request.priority].jobs:
            user.queues[job.request.priority].clear()  # ended jobs may still stand there
        group = (job.runner, job.key)
        del user.groups[group][job]
        if not user.groups[group]:
            del user.groups[group]

    def next(self) -> list[Job]:
        """The next quantum's jobs, all of one runner and key; empty when there is no work."""
        working = sorted((user for user in self.users.values() if user.jobs), key=lambda user: user.virtual)
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
        """Splits a quantum's milliseconds among its jobs by their units."""
        total = sum(job.units for job in jobs)
        for job in jobs:
            cost = milliseconds * (job.units / total if total > 0 else 1 / len(jobs))
            job.device_ms += cost
            user = self.users[job.request.user]
            user.virtual += cost / user.weight
            share = user.classes[job.request.priority]
            share.virtual += cost / share.weight

    def _head(self, user: User) -> Job:
        name = min((name for name, share in user.classes.items() if share.jobs), key=lambda n: user.classes[n].virtual)
        queue = user.queues[name]
        while queue[0][2] not in self._jobs:  # ended since it was queued
            heapq.heappop(queue)
        return queue[0][2]


def _join(share: Share, beside: Iterable[Share]) -> None:
    """One more job; a share that was idle starts no earlier than the least of those at work."""
    if not share.jobs:
        working = [other.virtual for other in beside if other.jobs]
        share.virtual = max([share.virtual, *([min(working)] if working else [])])
    share.jobs += 1
