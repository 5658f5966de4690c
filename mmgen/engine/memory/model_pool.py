"""Models on the device, and eviction: idle models leave when memory is short.

A model is brought to the device when a job needs it. The first to leave has the longest idle time for
what reloading it costs. Only the device thread moves models.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from mmgen.deprecated import attributes
from mmgen.engine.memory.ledger import Ledger
from mmgen.errors import Busy, NotFound, nearest

log = logging.getLogger(__name__)
State = Literal["awake", "resting", "asleep"]


class Weights(Protocol):
    """A model's tensors."""

    @property
    def nbytes(self) -> int: ...  # on the device, while awake
    @property
    def host(self) -> bool: ...  # whether host memory is another memory than the device's
    def bring(self) -> None: ...  # to the device, from host memory or from disk
    def rest(self) -> None: ...  # to host memory
    def drop(self) -> None: ...  # frees them: `bring` reads them from disk again


W = TypeVar("W", bound=Weights)


@dataclass(eq=False)
class PooledModel:
    """A model with its size, its users and where it is."""

    name: str
    weights: Weights
    nbytes: int
    reload_ms: float  # of the last load
    runners: set[str] = field(default_factory=set)
    used: float = field(default_factory=time.monotonic)
    jobs: int = 0  # admitted and not ended
    pinned: bool = False
    state: State = "awake"

    def score(self, now: float) -> float:
        """The highest is evicted first: seconds idle per millisecond of reloading."""
        return (now - self.used) / max(1.0, self.reload_ms)


@attributes(introduce="register", hold="acquire", let_go="release", arrive="load")
class ModelPool:
    """All loaded models. `host_limit`: bytes of models in host memory; None: no limit."""

    def __init__(self, ledger: Ledger, host_limit: int | None = None) -> None:
        self.ledger, self.host_limit = ledger, host_limit
        self.evictions = 0
        self._models: dict[str, PooledModel] = {}
        self._by_runner: defaultdict[str, list[PooledModel]] = defaultdict(list)
        self._jobs: Counter[str] = Counter()  # of each runner, admitted and not ended

    def __iter__(self) -> Iterator[PooledModel]:
        return iter(list(self._models.values()))

    def register(self, name: str, nbytes: int, load: Callable[[], W]) -> W:
        """Loads a new model. `nbytes`: its approximate size. Raises Busy or TooLarge if it does not fit."""
        if name in self._models:  # whoever loaded it failed to use it
            self._remove(name)
        self.make_room(nbytes)
        began = time.perf_counter()
        weights = load()
        model = PooledModel(name, weights, weights.nbytes, 1000 * (time.perf_counter() - began))
        self.ledger.check(model.nbytes, f"model {name}")
        self.make_room(model.nbytes)
        if not self._book(model):
            raise Busy(self._shortage(model))
        self._models[name] = model
        return weights

    def serve(self, name: str, runners: Iterable[str], beside: bool = False) -> None:
        """Jobs of these runners need that model; `beside`: besides those that they need already."""
        model = self._models[name]
        for runner in runners:
            if not beside:
                self._by_runner[runner].clear()
            model.runners.add(runner)
            model.jobs += self._jobs[runner]
            self._by_runner[runner].append(model)

    def forget(self, name: str) -> None:
        """Frees a model, which no runner needs any more. Raises Busy while jobs do."""
        if (jobs := self._models[name].jobs) > 0:
            raise Busy(f"model {name} has {jobs} jobs under way; cancel them or try again later")
        self._models[name].weights.drop()
        self._remove(name)

    def _remove(self, name: str) -> None:
        model = self._models.pop(name)
        self.ledger.release(model)
        for needed in self._by_runner.values():
            if model in needed:
                needed.remove(model)

    def knows(self, runner: str) -> bool:
        return bool(self._by_runner.get(runner))

    def acquire(self, runner: str) -> bool:
        """A job is admitted: reserves its models' bytes if they are not yet; False if they do not fit."""
        models = self._needed(runner)
        booked = [one for one in models if one not in self.ledger and self._book(one)]
        if not all(one in self.ledger for one in models):
            for one in booked:
                self.ledger.release(one)
            return False
        self._jobs[runner] += 1
        for one in models:
            one.jobs += 1
        return True

    def release(self, runner: str) -> None:
        """A job of that runner ended."""
        self._jobs[runner] -= 1
        for model in self._needed(runner):
            model.jobs -= 1
            model.used = time.monotonic()
            if not model.jobs and model.state != "awake":  # it never came: its jobs ended before their first step
                self.ledger.release(model)

    def lacking(self, runner: str) -> int:
        """Bytes to reserve for its models; those that are reserved already are not counted."""
        return sum(model.nbytes for model in self._needed(runner) if model not in self.ledger)

    def load(self, runner: str) -> None:
        """Before a step: brings the models to the device that are not there. Raises what loading raises."""
        for model in self._needed(runner):
            self._bring(model)

    def _needed(self, runner: str) -> list[PooledModel]:
        return self._by_runner.get(runner, [])

    def visit(self, runner: str) -> None:
        """Like `load`, for work outside of an admitted job. Raises Busy if they do not fit."""
        self.make_room(self.lacking(runner), but=runner)
        for model in self._needed(runner):
            self._bring(model)
            model.used = time.monotonic()

    def wake(self, name: str) -> None:
        """Brings a model to the device now. Raises Busy if it does not fit."""
        for model in self._named(name):
            if model.state != "awake":
                self.make_room(model.nbytes)
                self._bring(model)
            model.used = time.monotonic()

    def sleep(self, name: str, drop: bool = False) -> None:
        """Moves a model off the device: to host memory if that is another memory, or with `drop` frees it."""
        for model in self._named(name):
            if model.jobs:
                raise Busy(f"model {model.name} has {model.jobs} jobs under way; cancel them or try again later")
            if model.pinned:
                raise Busy(f"model {model.name} is pinned; unpin it first")
            self._send(model, drop)

    def pin(self, name: str, pinned: bool = True) -> None:
        """A pinned model is never evicted."""
        for model in self._named(name):
            model.pinned = pinned

    def make_room(self, nbytes: int, but: str = "") -> bool:
        """Evicts idle models, but not that runner's, until `nbytes` are free. True if any left.

        None leaves if all of them would not be enough.
        """
        free = self.ledger.free
        if free is None or free >= nbytes:
            return False
        idle = [one for one in self._idle() if but not in one.runners]
        if free + sum(one.nbytes for one in idle) < nbytes:
            return False
        for model in idle:
            self._evict(model)
            if (self.ledger.free or 0) >= nbytes:
                break
        return bool(idle)

    def clear(self, but: str = "") -> bool:
        """Evicts all idle models, but not that runner's: the device has less memory than the ledger assumed."""
        idle = [one for one in self._idle() if but not in one.runners]
        for model in idle:
            self._evict(model)
        return bool(idle)

    def _idle(self) -> list[PooledModel]:
        now = time.monotonic()
        idle = [one for one in self._models.values() if one.state == "awake" and not one.jobs and not one.pinned]
        return sorted(idle, key=lambda one: one.score(now), reverse=True)

    def _evict(self, model: PooledModel) -> None:
        log.info("model %s leaves the device, idle for %.1f s", model.name, time.monotonic() - model.used)
        self.evictions += 1
        self._send(model, drop=False)

    def _send(self, model: PooledModel, drop: bool) -> None:
        if model.weights.host and not drop and model.state != "asleep":
            if model.state == "awake":
                model.weights.rest()
            model.state = "resting"
            self._spare_the_host()
        elif model.state != "asleep":
            model.weights.drop()
            model.state = "asleep"
        self.ledger.release(model)

    def _spare_the_host(self) -> None:
        resting = sorted((one for one in self._models.values() if one.state == "resting"), key=lambda one: one.used)
        while self.host_limit is not None and resting and sum(one.nbytes for one in resting) > self.host_limit:
            oldest = resting.pop(0)
            oldest.weights.drop()
            oldest.state = "asleep"

    def _bring(self, model: PooledModel) -> None:
        if model.state == "awake":
            return
        if not self._book(model):
            raise Busy(self._shortage(model))
        began = time.perf_counter()
        try:
            model.weights.bring()
        except BaseException:
            self.ledger.release(model)
            raise
        model.reload_ms = 1000 * (time.perf_counter() - began)
        model.state = "awake"

    def _book(self, model: PooledModel) -> bool:
        return model in self.ledger or self.ledger.reserve(model, model.nbytes, "weights")

    def _shortage(self, model: PooledModel) -> str:
        return f"model {model.name} needs {model.nbytes:,} bytes, {self.ledger.free:,} are free; try again later"

    def _named(self, name: str) -> list[PooledModel]:
        found = [one for one in self._models.values() if name in (one.name, one.name.partition(" ")[2])]
        if not found:
            raise NotFound(f"no model {name} was loaded{nearest(name, [one.name.partition(' ')[2] for one in self])}")
        return found
