"""Weighted fair queueing over device milliseconds; the least virtual time runs next.

Start-time fair queueing (Goyal, Vin and Cheng 1996), over device-milliseconds as VTC is over tokens (Sheng et al. 2024,
arXiv 2401.00588): a flow's virtual time grows by cost / weight, and the least is served. A flow that was idle starts no
earlier than the clock, the least virtual time of all flows with work: idleness earns no credit and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace
from typing import Generic, TypeVar


@dataclass(eq=False, slots=True)
class Flow:
    """A share of the device: a user, or a priority class of a user."""

    weight: float
    virtual: float = 0.0  # cost / weight
    jobs: int = 0
    seen: float = 0.0  # the clock when it was last read; a lower bound of the clock now


F = TypeVar("F", bound=Flow)


class VirtualClock(Generic[F]):
    """Sibling flows and their clock. An idle flow behind the clock is dropped: it would restart at the clock anyway."""

    __slots__ = ("_first", "_heap", "clock", "flows", "make", "weights")

    def __init__(self, make: Callable[[float], F], weights: dict[str, float]) -> None:
        self.make, self.weights = make, weights
        self.flows: dict[str, F] = {}
        self.clock = 0.0
        self._first: F | None = None  # the result of `least`, while its virtual time equals the clock
        self._heap: list[tuple[float, float, str, F]] = []  # virtual times only grow: an entry may be behind its flow

    def least(self) -> F | None:
        """The flow with work and the least virtual time, the heavier of equals; advances the clock to it."""
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
        """Adds a job to that flow."""
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
        """Whether it is at most `lead` milliseconds ahead of its share."""
        self.least()
        flow.seen = self.clock
        return flow.virtual - flow.seen <= lead / flow.weight
