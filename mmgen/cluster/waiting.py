"""Requests that wait for a replica, in fair shares of users over the whole cluster.

Start-time fair queueing over predicted device-seconds, as the engine's own over measured milliseconds: of the users whose
requests can go on now, the least served goes first. What a request really took is settled at its user's next one.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush, heapreplace

from mmgen.cluster.work import ClusterRequest
from mmgen.engine.scheduling.virtual_time import Flow, VirtualClock


class ModelQueue:
    """Requests that wait for one model."""

    __slots__ = ("heap", "seconds", "users")

    def __init__(self) -> None:
        self.users: dict[str, deque[ClusterRequest]] = {}
        self.heap: list[tuple[float, float, str]] = []  # virtual time and weight of a user, who may have got on since
        self.seconds = 0.0  # device-seconds that they are expected to take


class FairWaiting:
    """Who waits, by model and user."""

    def __init__(self) -> None:
        self.shares: VirtualClock[Flow] = VirtualClock(lambda weight: Flow(weight), {})
        self.models: dict[str, ModelQueue] = {}  # none of them empty
        self._debts: dict[str, float] = {}  # user -> device-seconds that were charged too few, or too many
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, request: ClusterRequest, first: bool = False) -> None:
        """`first`: before its user's others, as it has been on its way already."""
        flow = self.shares.join(request.user)
        queue = self.models.get(request.model) or self.models.setdefault(request.model, ModelQueue())
        theirs = queue.users.get(request.user)
        if theirs is None:
            theirs = queue.users[request.user] = deque()
            heappush(queue.heap, (flow.virtual, -flow.weight, request.user))
        (theirs.appendleft if first else theirs.append)(request)
        queue.seconds += request.cost_s
        self._size += 1

    def first(self, model: str) -> tuple[float, ClusterRequest]:
        """The request of the least served user that waits for that model, and their virtual time."""
        queue = self.models[model]
        while True:
            virtual, weight, user = queue.heap[0]
            if user not in queue.users:
                heappop(queue.heap)
            elif (now := self.shares.flows[user].virtual) > virtual:
                heapreplace(queue.heap, (now, weight, user))
            else:
                return virtual, queue.users[user][0]

    def take(self, request: ClusterRequest) -> None:
        """It goes to a replica, and its user is charged for it."""
        self._leave(request)
        if request.charged:
            return
        request.charged = True
        flow = self.shares.flows[request.user]
        cost = request.cost_s + self._debts.pop(request.user, 0.0)
        if cost < 0:  # virtual times do not go back: the rest is for later
            self._debts[request.user], cost = cost, 0.0
        flow.virtual += cost / flow.weight

    def settle(self, request: ClusterRequest, seconds: float) -> None:
        """It took so long."""
        if request.user in self.shares.flows:  # who left has no debts
            self._debts[request.user] = self._debts.get(request.user, 0.0) + seconds - request.cost_s
        else:
            self._debts.pop(request.user, None)

    def remove(self, request: ClusterRequest) -> bool:
        """It was cancelled; False: it does not wait."""
        queue = self.models.get(request.model)
        if queue is None or request not in queue.users.get(request.user, ()):
            return False
        self._leave(request)
        return True

    def _leave(self, request: ClusterRequest) -> None:
        queue = self.models[request.model]
        theirs = queue.users[request.user]
        if theirs[0] is request:
            theirs.popleft()
        else:
            theirs.remove(request)
        if not theirs:
            del queue.users[request.user]
        if not queue.users:
            del self.models[request.model]
        queue.seconds -= request.cost_s
        self.shares.flows[request.user].jobs -= 1
        self._size -= 1
