"""What the router knows of a replica: its models, what was sent there, and how long that is expected to take."""

from __future__ import annotations

import random
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mmgen.cluster.work import ClusterRequest

T = TypeVar("T")


@dataclass(frozen=True)
class ModelInfo:
    """What a model needs."""

    nbytes: int = 0  # of device memory
    load_s: float = 5.0  # seconds until it can be used


class RandomSet(Generic[T]):
    """A set from which one is drawn in constant time. `items` and `places` are read by who is in a hurry."""

    __slots__ = ("items", "places")

    def __init__(self) -> None:
        self.items: list[T] = []
        self.places: dict[T, int] = {}

    def add(self, item: T) -> None:
        if item not in self.places:
            self.places[item] = len(self.items)
            self.items.append(item)

    def discard(self, item: T) -> None:
        place = self.places.pop(item, None)
        if place is None:
            return
        last = self.items.pop()
        if place < len(self.items):
            self.items[place] = last
            self.places[last] = place

    def pair(self, rng: random.Random) -> tuple[T, ...]:
        """Two different ones, or as many as there are."""
        items, count = self.items, len(self.items)
        if count < 3:
            return tuple(items)
        first = int(rng.random() * count)
        return items[first], items[(first + 1 + int(rng.random() * (count - 1))) % count]


@dataclass(eq=False)
class ReplicaState:
    """One engine, as the router sees it."""

    name: str
    may_hold: frozenset[str]  # models that are placed here
    memory: int | None = None  # bytes; None: whatever is asked
    slots: int = 64  # requests at once, at most
    models: OrderedDict[str, int] = field(default_factory=OrderedDict)  # loaded -> bytes, the last used at the end
    sent: dict[str, ClusterRequest] = field(default_factory=dict)
    company: Counter[str] = field(default_factory=Counter)  # model -> requests that are here
    queue_s: float = 0.0  # device-seconds that these are expected to take
    draining: bool = False  # gets nothing new
    reserved: str | None = None  # ... until there is place for this model
    alone: bool = False  # ... until its one request is done

    def fits(self, info: ModelInfo) -> bool:
        """Whether it ever can hold that model."""
        return self.memory is None or info.nbytes <= self.memory

    def can_load(self, info: ModelInfo) -> bool:
        """Whether it can now: beside the models that are in use."""
        if self.memory is None:
            return True
        return info.nbytes + sum(nbytes for model, nbytes in self.models.items() if self.company[model]) <= self.memory

    def displaced(self, info: ModelInfo, price: Callable[[str], float]) -> list[str]:
        """Models that would have to go for that one: those not in use, the cheapest first, of these the longest unused."""
        over = 0 if self.memory is None else sum(self.models.values()) + info.nbytes - self.memory
        gone: list[str] = []
        if over > 0:
            for other in sorted((other for other in self.models if not self.company[other]), key=price):
                gone.append(other)
                over -= self.models[other]
                if over <= 0:
                    break
        return gone

    def load(self, model: str, info: ModelInfo, price: Callable[[str], float]) -> list[str]:
        """The model is here from now on; returns those that had to go."""
        gone = self.displaced(info, price)
        for other in gone:
            del self.models[other]
        self.models[model] = info.nbytes
        return gone
