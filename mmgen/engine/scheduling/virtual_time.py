"""Virtual time: who has had how much, for his weight. Knows flows; not what flows.

Start-time fair queueing (Goyal, Vin and Cheng 1996), over device-milliseconds as VTC is over tokens (Sheng et al. 2024,
arXiv 2401.00588): a flow's virtual time grows by cost / weight, and the least is served. Who comes back from idleness starts no
earlier than the clock, the least virtual time of all with work, so that idleness is neither punished nor saved up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace
from typing import Generic, TypeVar


@dataclass(eq=False, slots=True)
class Flow:
    """Who has a claim on the device: a user, or a priority of a user."""

    weight: float
    virtual: float = 0.0  # cost / weight
    jobs: int = 0
    seen: float = 0.0  # its clock when it was last asked: by now that may be later, never earlier


F = TypeVar("F", bound=Flow)


class VirtualClock(Generic[F]):
    """Flows side by side, and their clock. Who is idle and behind the clock is forgotten: he would start there anyway."""

    __slots__ = ("_first", "_heap", "clock", "flows", "make", "weights")

    def __init__(self, make: Callable[[float], F], weights: dict[str, float]) -> None:
        self.make, self.weights = make, weights
        self.flows: dict[str, F] = {}
        self.clock = 0.0
        self._first: F | None = None  # the least served, while its virtual time is the clock's
        self._heap: list[tuple[float, float, str, F]] = []  # virtual times only grow: an entry may be behind its flow

    def least(self) -> F | None:
        """Of the flows with jobs the one that has had least, or the heavier; sets the clock by it."""
        first = self._first
        if first is not None and first.virtual == self.clock and first.jobs:
            return first
        heap = self._heap
        while heap:
            virtual, _, name, flow = heap[0]
            if flow.virtual > virtual:
                heapreplace(heap, (flow.virtual, -flow.weight, name, flow))
                continue
            self.clock = max(self.clock, flow.virtual)
            if flow.jobs:
                self._first = flow
                return flow
            heappop(heap)
            del self.flows[name]
        return None

    def join(self, name: str) -> F:
        """One more job of that flow."""
        self.least()
        flow = self.flows.get(name)
        if flow is None:
            flow = self.flows[name] = self.make(self.weights.get(name, 1.0))
            flow.virtual = flow.seen = self.clock
            heappush(self._heap, (flow.virtual, -flow.weight, name, flow))
            self._first = None  # the new one may be heavier
        flow.jobs += 1
        return flow

    def close_to_least(self, flow: F, lead: float) -> bool:
        """Whether it has had at most `lead` more than its share."""
        self.least()
        flow.seen = self.clock
        return flow.virtual - flow.seen <= lead / flow.weight
