"""The policy `fair`: users share device milliseconds by weight, and the priorities of a user share the user's.

See virtual_time.py. Within a priority the earliest deadline comes first; work without a near deadline is served
round-robin over runners and keys.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from itertools import chain, count, islice, zip_longest

from mmgen.engine.job import Job
from mmgen.engine.scheduling.cost_model import Group
from mmgen.engine.scheduling.fair_queues import JobQueue, KeyQueues, UserQueues
from mmgen.engine.scheduling.scheduler import PATIENCE, Entry, split
from mmgen.engine.scheduling.virtual_time import VirtualClock
from mmgen.errors import BadRequest

LOOKED_AT = 2
"""Queues that are checked for joining a batch, as a multiple of `max_batch`."""
SPARE = 8
"""One in so many of a batch is checked beyond the queues that it lacks, as some are ahead of their share."""


class FairScheduler:
    """Weighted fair shares. `max_batch`: jobs of a quantum at most.

    A user at most one quantum ahead of the least served may share the batch, so that of two users who always have work
    neither gets more than two of the longest quanta ahead of the other.
    """

    def __init__(self, max_batch: int = 64, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_batch, self.clock = max_batch, clock
        self.users: VirtualClock[UserQueues] = VirtualClock(UserQueues, {})
        self._held: dict[Job, tuple[JobQueue, Entry]] = {}
        self._rounds: dict[Group, KeyQueues] = {}
        self._costs: dict[str, float] = {}  # runner -> its last quantum's
        self._numbers = count()
        self._chosen: list[Job] = []  # the last batch, while all of it is held
        self._queues: list[JobQueue] = []  # of the first of them; then queues that it had no room for

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
        entry = (now + PATIENCE if request.deadline is None else request.deadline, next(self._numbers), job)
        queue = priority.queues.get(group)
        if queue is not None:
            queue.add(entry)
        else:
            others = self._rounds.get(group) or self._rounds.setdefault(group, KeyQueues())
            others.size += 1
            queue = priority.queues[group] = JobQueue(priority, others.rows[request.priority], now, entry)
        self._held[job] = queue, entry

    def remove(self, job: Job) -> None:
        if job not in self._held:
            return
        queue, entry = self._held.pop(job)
        queue.priority.user.jobs -= 1
        queue.priority.jobs -= 1
        if not queue.remove(entry):
            group = (job.runner, job.key)
            del queue.priority.queues[group]
            self._rounds[group].size -= 1
            if not self._rounds[group].size:
                del self._rounds[group]
        self._chosen, self._queues = [], []

    def next(self) -> list[Job]:
        """The queue with the least virtual time, batched with others of its runner and key, one job from each in rotation."""
        user = self.users.least()
        priority = user and user.classes.least()
        return self._batch(priority.first()) if priority else []

    def beside(self, job: Job) -> list[Job]:
        """That job first, and others of its runner and key."""
        queue, _ = self._held[job]
        batch = self._batch(queue)
        if batch[0] is not job:
            batch = [job, *(other for other in batch if other is not job)][: self.max_batch]
            self._chosen, self._queues = batch[:], [queue, *self._queues][: self.max_batch]
        return batch

    def charge(self, jobs: Sequence[Job], cost: float) -> list[float]:
        """Splits what a quantum cost among its jobs by their units."""
        parts, now, queues = split(cost, [job.units for job in jobs]), self.clock(), self._queues_of(jobs)
        for queue, part in zip(queues, parts, strict=True):
            priority = queue.priority
            user = priority.user
            user.virtual += part / user.weight
            priority.virtual += part / priority.weight
            queue.turn = now
        self._rounds[jobs[0].runner, jobs[0].key].end(self._queues[len(jobs) :])
        self._costs[jobs[0].runner] = cost
        return parts

    def _queues_of(self, jobs: Sequence[Job]) -> list[JobQueue]:
        """Of each job. Nearly always they are the last batch, or the first of it."""
        if jobs != self._chosen[: len(jobs)]:
            self._chosen, self._queues = [], []
        queues = self._queues[: len(jobs)]
        return queues + [self._held[job][0] for job in jobs[len(queues) :]]

    def _batch(self, first: JobQueue) -> list[Job]:
        self._queues = self._together(first)
        queues = self._queues[: self.max_batch]
        batch = [queue.job for queue in queues]
        if len(batch) < self.max_batch and (rest := [queue.rest for queue in queues if queue.rest is not None]):
            turns = filter(None, chain.from_iterable(zip_longest(*rest)))
            batch += [entry[2] for entry in islice(turns, self.max_batch - len(batch))]
        self._chosen = batch[:]
        return batch

    def _together(self, first: JobQueue) -> list[JobQueue]:
        """That queue, and others of its runner and key that may share a quantum; a few more, perhaps, than it has room for."""
        queues, job = [first], first.job
        others, left = self._rounds[job.runner, job.key], LOOKED_AT * self.max_batch
        if others.size == 1:
            return queues
        others.begin()
        lead = self._costs.get(job.runner, 0.0)
        while left > 0 and (missing := self.max_batch - len(queues)) > 0:
            most = min(left, missing + self.max_batch // SPARE)
            asked = others.ask(most)
            queues += self._close(asked, lead, first)
            if len(asked) < most:
                break
            left -= most
        return queues

    def _close(self, queues: list[JobQueue], lead: float, first: JobQueue) -> list[JobQueue]:
        """Those, but for the first, whose user and priority have had at most `lead` more than their share."""
        least = self.users.least()
        assert least is not None
        served, close = least.virtual, []
        for queue in queues:
            priority = queue.priority
            user = priority.user
            if user.virtual - served > lead / user.weight:
                continue
            if priority.virtual - priority.seen > lead / priority.weight and not user.classes.close_to_least(priority, lead):
                continue
            if queue is not first:
                close.append(queue)
        return close
