"""Job queues by user, priority, runner and key, and the rotation among queues that can share a batch."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sortedcontainers import SortedList

from mmgen.engine.scheduling.cost_model import Group
from mmgen.engine.scheduling.scheduler import PATIENCE, WEIGHTS, Entry
from mmgen.engine.scheduling.virtual_time import Flow, VirtualClock

Rank = tuple[float, int, "JobQueue"]
PARTS = [(name, weight / sum(list(WEIGHTS.values())[place:])) for place, (name, weight) in enumerate(WEIGHTS.items())]
"""Priority -> its part of what those before it left."""


@dataclass(eq=False, slots=True)
class PriorityQueues(Flow):
    """A priority class of a user: its queues, ordered by nearest deadline or longest time unserved."""

    user: UserQueues = field(kw_only=True)
    queues: dict[Group, JobQueue] = field(default_factory=dict)
    _heap: list[Rank] = field(default_factory=list)  # ranks mostly grow: an entry may be behind its queue, never ahead

    def put(self, queue: JobQueue) -> None:
        """It is new, or its first job is another."""
        rank = queue.due()
        if queue.rank is None or rank < queue.rank:
            queue.rank = rank
            heapq.heappush(self._heap, rank)

    def first(self) -> JobQueue:
        """The queue that is next. Ranks of served queues are updated lazily, here."""
        while True:
            rank = self._heap[0]
            queue = rank[2]
            if queue.rank is not rank:
                heapq.heappop(self._heap)
            elif (due := queue.due()) > rank:
                queue.rank = due
                heapq.heapreplace(self._heap, due)
            else:
                return queue


@dataclass(eq=False, slots=True)
class UserQueues(Flow):
    classes: VirtualClock[PriorityQueues] = field(init=False)

    def __post_init__(self) -> None:
        self.classes = VirtualClock(lambda weight: PriorityQueues(weight, user=self), WEIGHTS)


class JobQueue:
    """Jobs of one user and priority that can share a forward pass, at least one."""

    __slots__ = ("deadline", "entry", "job", "place", "priority", "rank", "rest", "row", "turn")

    def __init__(self, priority: PriorityQueues, row: QueueRotation, turn: float, entry: Entry) -> None:
        self.priority, self.row = priority, row
        self.turn = turn  # the clock when it was made, or last had a quantum
        self.rank: Rank | None = None  # in its class
        self.rest: Any = None  # entries but the first, sorted; None: there are none
        self.place = row.add(self)
        self._head(entry)

    def _head(self, entry: Entry) -> None:
        self.entry, self.job = entry, entry[2]
        deadline = self.job.request.deadline
        self.deadline = math.inf if deadline is None else deadline
        self.priority.put(self)

    def due(self) -> Rank:
        """Sorts the queues of a priority."""
        patient = self.turn + PATIENCE
        return patient if patient < self.deadline else self.deadline, self.entry[1], self

    def add(self, entry: Entry) -> None:
        if self.rest is None:
            self.rest = SortedList()
        if entry < self.entry:
            self.rest.add(self.entry)
            self._head(entry)
        else:
            self.rest.add(entry)

    def remove(self, entry: Entry) -> bool:
        """Whether jobs are left; otherwise it leaves its row."""
        if entry is not self.entry:
            self.rest.remove(entry)
        elif self.rest is not None:
            self._head(self.rest.pop(0))
        else:
            self.row.remove(self)
            self.rank = None  # the old one may stay in its class for a while, but keeps no job alive
            del self.entry, self.job
            return False
        if not self.rest:
            self.rest = None
        return True


class QueueRotation:
    """Queues of one runner, key and priority, in rotation: one that was asked goes to the end."""

    __slots__ = ("_asked", "_next", "_queues")

    def __init__(self) -> None:
        self._queues: list[JobQueue] = []
        self._next = 0  # the place of the queue that is asked first
        self._asked = 0  # how many were, since `begin`

    def add(self, queue: JobQueue) -> int:
        """Its place."""
        self._queues.append(queue)
        return len(self._queues) - 1

    def remove(self, queue: JobQueue) -> None:
        """The last takes its place."""
        last = self._queues.pop()
        if last is not queue:
            self._queues[queue.place], last.place = last, queue.place

    def begin(self) -> None:
        self._asked = 0

    def ask(self, most: int) -> list[JobQueue]:
        """The next ones, each once."""
        queues, asked = self._queues, self._asked
        most = min(most, len(queues) - asked)
        if most <= 0:
            return []
        begin = (self._next + asked) % len(queues)
        self._asked = asked + most
        found = queues[begin : begin + most]
        return found if len(found) == most else found + queues[: most - len(found)]

    def end(self) -> None:
        """Those that were asked go to the end."""
        self._next, self._asked = (self._next + self._asked) % max(1, len(self._queues)), 0

    def end_before(self, queue: JobQueue) -> None:
        """That queue was asked but not served: it is the next to be asked."""
        self._next = queue.place


class KeyQueues:
    """Queues of one runner and key. Each priority is asked in proportion to its weight."""

    __slots__ = ("rows", "size")

    def __init__(self) -> None:
        self.rows = {name: QueueRotation() for name in WEIGHTS}
        self.size = 0  # queues

    def begin(self) -> None:
        """Starts a round: none was asked yet."""
        for row in self.rows.values():
            row.begin()

    def ask(self, most: int) -> list[JobQueue]:
        """As many as that, or all that were not asked yet."""
        asked: list[JobQueue] = []
        for name, part in PARTS:
            asked += self.rows[name].ask(math.ceil(part * (most - len(asked))))
        if len(asked) < most:
            for row in self.rows.values():
                asked += row.ask(most - len(asked))
        return asked

    def end(self, unserved: Sequence[JobQueue]) -> None:
        """Ends the round: those asked go to the end, except `unserved`, which keep their order."""
        for row in self.rows.values():
            row.end()
        for queue in reversed(unserved):
            queue.row.end_before(queue)
