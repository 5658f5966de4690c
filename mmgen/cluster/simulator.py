"""Many engines in simulated time: the router's and the schedulers' own code over given costs of quanta.

As the simulator of one engine (engine/telemetry/simulator.py), but that steps have no preemption points here: an answer
waits for the end of a quantum that is under way. A replica that dies loses what was under way, which is played again from its
beginning elsewhere.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from time import thread_time
from typing import Any

from mmgen.cluster.replica_state import ReplicaState
from mmgen.cluster.router import ClusterRouter
from mmgen.cluster.work import ClusterRequest
from mmgen.engine.job import Job, Request
from mmgen.engine.scheduling.fair import FairScheduler
from mmgen.engine.scheduling.gap_limiter import GapLimiter
from mmgen.engine.scheduling.scheduler import Scheduler
from mmgen.engine.telemetry.simulator import Arrival, SimulatedJob

QUANTILES = (0.5, 0.99, 0.999)


@dataclass(frozen=True)
class Outage:
    """Replicas that die at one moment and come back, empty, some time later."""

    at: float  # seconds
    replicas: frozenset[str]
    back: float  # seconds after


@dataclass
class ClusterOutcome:
    """Results. Times are simulated seconds, but for the router's own."""

    jobs: int = 0
    again: int = 0  # requests that were played again
    end: float = 0.0
    busy: float = 0.0  # device-seconds, of all engines together
    lost: float = 0.0  # ... that went with replicas that died
    waits: list[float] = field(default_factory=list)  # from arrival to the first quantum
    at: list[float] = field(default_factory=list)  # when those requests arrived
    users: list[str] = field(default_factory=list)  # whose they were
    shares: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # user -> device-seconds
    moves: int = 0
    most_waiting: int = 0  # in the router
    routing_us: float = 0.0  # processor microseconds of the router, by the decision

    def quantiles(self, without: str = "") -> list[float]:
        """Waiting at 50, 99 and 99.9 %; `without`: a user."""
        ordered = sorted(wait for wait, user in zip(self.waits, self.users, strict=True) if user != without)
        return [ordered[min(len(ordered) - 1, int(part * len(ordered)))] for part in QUANTILES]

    @property
    def heaviest(self) -> str:
        """The user who was given most."""
        return max(self.shares, key=lambda user: self.shares[user])


class SimulatedEngine:
    """A device and its scheduler."""

    def __init__(self, state: ReplicaState, scheduler: GapLimiter) -> None:
        self.state, self.scheduler = state, scheduler
        self.running: list[Job] = []  # in the quantum under way
        self.life = 0  # counted up when it dies: what was announced before does not happen
        self.free_at = 0.0


class ClusterPlay:
    """One simulation."""

    def __init__(
        self,
        router: ClusterRouter,
        cost: Callable[[str, str, int], float],
        model_of: Callable[[Arrival], str],
        policy: Callable[..., Scheduler] = FairScheduler,
        max_gap_ms: float | None = None,
    ) -> None:
        """
        Args:
            router: with its replicas.
            cost: runner, key and size -> milliseconds of a quantum.
            model_of: the model that a job needs.
        """
        self.router, self.cost, self.model_of = router, cost, model_of
        self.policy, self.max_gap_ms = policy, max_gap_ms
        self.now, self.out = 0.0, ClusterOutcome()
        self.engines = {name: self._engine(state) for name, state in router.replicas.items()}
        self._jobs: dict[str, Job] = {}  # by request, those under way
        self._requests: dict[Job, ClusterRequest] = {}
        self._coming: list[tuple[float, int, Callable[..., None], Sequence[Any]]] = []
        self._numbers = count()
        self._routing = 0.0
        self._arrivals: dict[str, Arrival] = {}

    def run(self, coming: Iterable[Arrival], outages: Iterable[Outage] = ()) -> ClusterOutcome:
        """All jobs to their end; `coming` by time."""
        for outage in outages:
            self._at(outage.at, self._die, outage)
        following, arrivals = None, iter(coming)
        following = next(arrivals, None)
        while following is not None or self._coming:
            if following is not None and (not self._coming or following.at <= self._coming[0][0]):
                self.now = following.at
                self._arrive(following)
                following = next(arrivals, None)
            else:
                self.now, _, happen, args = heapq.heappop(self._coming)
                happen(*args)
        self.out.end, self.out.moves = self.now, self.router.moves
        self.out.routing_us = 1e6 * self._routing / max(1, self.router.decisions)
        return self.out

    def _engine(self, state: ReplicaState) -> SimulatedEngine:
        return SimulatedEngine(state, GapLimiter(self.policy(clock=lambda: self.now), max_gap_ms=self.max_gap_ms))

    def _at(self, when: float, happen: Callable[..., None], *args: Any) -> None:
        heapq.heappush(self._coming, (when, next(self._numbers), happen, args))

    def _arrive(self, one: Arrival) -> None:
        request = ClusterRequest(str(next(self._numbers)), one.user, self.model_of(one), float(one.quanta))
        self._arrivals[request.id] = one
        self._route(self.router.submit, request)

    def _route(self, tell: Callable[..., Any], *args: Any) -> None:
        """Tells the router something, and does what it decides then."""
        began = thread_time()
        tell(*args)
        decided = list(self.router.ready())
        self._routing += thread_time() - began
        self.out.most_waiting = max(self.out.most_waiting, len(self.router.waiting))
        for sent in decided:
            engine, one = self.engines[sent.replica], self._arrivals[sent.request.id]
            job = SimulatedJob(one.runner, one, Request("", one.user, one.priority, one.deadline), seed=0)
            job.key, job.units, job.submitted, job.streams = one.key, one.units, self.now, one.streams
            self._jobs[sent.request.id], self._requests[job] = job, sent.request
            engine.scheduler.add(job)
            if sent.loads:  # the device loads the model first
                engine.free_at = max(self.now, engine.free_at) + self.router.models[sent.request.model].load_s
            self._begin(engine, engine.life)

    def _begin(self, engine: SimulatedEngine, life: int) -> None:
        if engine.running or engine.life != life or not len(engine.scheduler):
            return
        if engine.free_at > self.now:
            self._at(engine.free_at, self._begin, engine, life)
            return
        engine.running = batch = engine.scheduler.next()
        milliseconds = self.cost(batch[0].runner, batch[0].key, len(batch))
        for job in batch:
            if job.started is None:
                job.started = self.now
        self._at(self.now + milliseconds / 1000, self._ended, engine, life, milliseconds)

    def _ended(self, engine: SimulatedEngine, life: int, milliseconds: float) -> None:
        if engine.life != life:
            return
        batch, engine.running = engine.running, []
        done = []
        for job, part in zip(batch, engine.scheduler.charge(batch, milliseconds), strict=True):
            job.quanta += 1
            job.device_ms += part
            self.out.shares[job.request.user] += part / 1000
            if job.quanta >= job.payload.quanta:
                done.append(job)
        self.out.busy += milliseconds / 1000
        for job in done:
            engine.scheduler.remove(job)
        for job in done:
            self._done(job)
        self._begin(engine, life)

    def _done(self, job: Job) -> None:
        request, one = self._requests.pop(job), job.payload
        del self._jobs[request.id], self._arrivals[request.id]
        assert job.started is not None
        self.out.jobs += 1
        self.out.waits.append(job.started - one.at)
        self.out.at.append(one.at)
        self.out.users.append(one.user)
        self._route(self.router.finished, request, job.device_ms)

    def _die(self, outage: Outage) -> None:
        for name in sorted(outage.replicas):
            engine = self.engines[name]
            engine.life += 1
            for request in engine.state.sent.values():
                job = self._jobs.pop(request.id)
                del self._requests[job]
                self.out.again += 1
                self.out.lost += job.device_ms / 1000
            self.router.leave(name)
        self._route(lambda: None)
        self._at(self.now + outage.back, self._back, outage)

    def _back(self, outage: Outage) -> None:
        for name in sorted(outage.replicas):
            old = self.engines[name]
            state = ReplicaState(name, old.state.may_hold, old.state.memory, old.state.slots)
            self.engines[name] = engine = self._engine(state)
            engine.life = old.life + 1
            self.router.join(state)
        self._route(lambda: None)


def placed(names: Iterable[str], models: Mapping[str, Any], memory: int | None, slots: int = 64) -> list[ReplicaState]:
    """Replicas that may hold any model, and hold none yet."""
    return [ReplicaState(name, frozenset(models), memory, slots) for name in names]
