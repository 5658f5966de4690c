"""Virtual time: who has had how much, for his weight. Knows flows; not what flows.

Start-time fair queueing (Goyal, Vin and Cheng 1996), over device-milliseconds as VTC is over tokens (Sheng et al. 2024,
arXiv 2401.00588): a flow's virtual time grows by cost / weight, and the least is served. Who comes back from idleness starts no
earlier than the clock, the least virtual time of all with work, so that idleness is neither punished nor saved up.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar


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
