"""What the router knows of a request: whose it is, what it needs, and what it is expected to take."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from mmgen.engine.scheduling.cost_model import CostModel


@dataclass(eq=False, slots=True)
class ClusterRequest:
    """One request; in no queue or in one, on no replica or on one."""

    id: str  # the caller, as the next four
    user: str
    model: str
    units: float = 1.0  # tokens, denoising steps or texts: what its cost is learned by
    prefix: tuple[int, ...] = ()  # of its prompt, see `prefixes.chain`
    cost_s: float = field(default=0.0, init=False)  # the router: device-seconds that it is expected to take
    charged: bool = field(default=False, init=False)  # the router: its user has paid, also for every time it is played again
    plays: int = field(default=0, init=False)  # the router: how often it was sent to a replica
    replica: str | None = field(default=None, init=False)  # the router: where it is
    company: int = field(default=1, init=False)  # the router: requests of its model on that replica when it came there
    cached: float = field(default=0.0, init=False)  # the router: part of its prompt that the replica has read already


@dataclass(frozen=True, slots=True)
class SentTo:
    """A decision of the router's."""

    request: ClusterRequest
    replica: str
    loads: bool  # whether the model has to be loaded there first
    finish_s: float  # predicted, from now


class RequestCosts:
    """Device-seconds of requests, learned from what finished ones took; see engine/scheduling/cost_model.py."""

    def __init__(self, prior_ms: float = 50.0) -> None:
        """`prior_ms`: of a unit, while nothing is known."""
        self.prior_ms = prior_ms
        self._model = CostModel()

    def seconds(self, model: Hashable, units: float, company: int = 1) -> float:
        """A request's own part of the passes that it shares with `company - 1` others."""
        return units * self.of_unit(model)(max(1, company))

    def of_unit(self, model: Hashable) -> Callable[[int], float]:
        """Seconds of a unit by the number of requests that share passes, as far as they are learned now."""
        shared = self._model.at(("request", model))
        if shared is None:
            return lambda size: self.prior_ms / 1000
        return lambda size: shared(size) / size / 1000

    def observe(self, model: Hashable, units: float, company: int, device_ms: float) -> None:
        """A request is done that was charged so much."""
        size = max(1, company)
        self._model.observe(("request", model), size, size * device_ms / max(units, 1e-9))
