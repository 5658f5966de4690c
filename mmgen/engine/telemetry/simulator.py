"""Replays a trace under any policy, in simulated time: the scheduler's own code over recorded quantum costs.

Memory is not simulated: every job is admitted at once.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from statistics import fmean, median
from time import perf_counter
from typing import Any

from mmgen.engine.job import Job, Request
from mmgen.engine.scheduling.cost_model import CostModel
from mmgen.engine.scheduling.gap_limiter import GapLimiter
from mmgen.engine.scheduling.scheduler import Scheduler
from mmgen.engine.telemetry.metrics import jain
from mmgen.errors import BadRequest

PART = 0.01
"""Milliseconds that a quantum can be divided into."""


@dataclass(frozen=True)
class Arrival:
    """A job of a trace or of a synthetic load."""

    at: float  # seconds
    runner: str
    key: str
    quanta: int
    user: str = "local"
    priority: Any = "normal"
    deadline: float | None = None  # seconds, on the same clock
    streams: bool = False
    units: float = 1.0
    pauses: bool = False


class SimulatedJob(Job):
    """A job without a random generator, which only real jobs need."""

    def __post_init__(self) -> None:
        pass


class RecordedCosts:
    """Mean cost of recorded quanta by runner, key and batch size; the cost model's prediction for other sizes."""

    def __init__(self) -> None:
        self._costs = CostModel()
        self._means: dict[tuple[str, str, int], list[float]] = defaultdict(list)

    def add(self, runner: str, key: str, size: int, milliseconds: float) -> None:
        self._means[runner, key, size].append(milliseconds)
        self._costs.observe((runner, key), size, milliseconds)

    def __call__(self, runner: str, key: str, size: int) -> float:
        known = self._means.get((runner, key, size))
        if known is not None:
            return fmean(known)
        return self._costs.predict((runner, key), size) or 1.0


@dataclass
class SimulatedOutcome:
    """Results of a simulation. Times are simulated seconds; shares are device-seconds."""

    jobs: int = 0
    quanta: int = 0
    late: int = 0  # jobs that ended behind their deadline
    end: float = 0.0
    busy: float = 0.0
    turnaround: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # priority -> submission to end
    first: list[float] = field(default_factory=list)  # of streaming jobs: submission to the first quantum's end
    gaps: list[float] = field(default_factory=list)  # of streaming jobs: one quantum's end to the next one's
    shares: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    taken: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # user -> submission to end, summed
    choosing: float = 0.0  # real seconds of the scheduler: who is next, and charging him
    queueing: float = 0.0  # ... and jobs that come and go
    most_waiting: int = 0

    def rows(self) -> list[tuple[str, str]]:
        """As label and text."""
        rows = [
            ("jobs", f"{self.jobs:,} in {self.quanta:,} quanta, {self.jobs / max(1, self.quanta):.3f} jobs ended a quantum"),
            ("device", f"{self.busy:.1f} s busy of {self.end:.1f} s"),
            ("deadlines missed", f"{self.late:,}"),
            ("fairness (Jain)", f"{jain(self.slowdowns()):.3f} over {len(self.shares)} users' slowdowns"),
        ]
        rows += [(f"{name}, to the end", _spread(values)) for name, values in sorted(self.turnaround.items())]
        if self.first:
            rows += [("first token", _spread(self.first)), ("between tokens", _spread(self.gaps or [0.0]))]
        each = f"{self.choosing_us:.1f} us a quantum, and {self.queueing_us:.1f} us a job to come and go"
        return [*rows, ("scheduling", f"{each}; {self.most_waiting:,} jobs at most")]

    def slowdowns(self) -> list[float]:
        """Per user: seconds from submission to end of all jobs, divided by their device-seconds."""
        return [taken / self.shares[user] for user, taken in self.taken.items() if self.shares[user]]

    @property
    def choosing_us(self) -> float:
        return 1e6 * self.choosing / max(1, self.quanta)

    @property
    def queueing_us(self) -> float:
        return 1e6 * self.queueing / max(1, self.jobs)


def arrivals(events: Iterable[dict[str, Any]]) -> tuple[list[Arrival], RecordedCosts]:
    """Arrivals and costs of a trace. Jobs without a quantum are left out. Raises BadRequest for a trace without any."""
    begun: dict[int, dict[str, Any]] = {}
    took: dict[int, int] = defaultdict(int)
    units: dict[int, float] = defaultdict(float)
    cost = RecordedCosts()
    for event in events:
        if event.get("ph") == "b":
            begun[event["id"]] = event
        elif event.get("cat") == "quantum":
            jobs, args = event["args"]["jobs"], event["args"]
            cost.add(event["name"].rpartition(" x")[0], args["key"], len(jobs), (event["dur"] - args.get("away", 0.0)) / 1000)
            for number, part in zip(jobs, args["units"], strict=True):
                took[number] += 1
                units[number] += part
    found = [_arrival(event, took[number], units[number]) for number, event in begun.items() if took[number]]
    if not found:
        raise BadRequest("the trace holds no job that had a quantum; record one with work in it")
    return sorted(found, key=lambda one: one.at), cost


def play(
    coming: Iterable[Arrival],
    cost: Callable[[str, str, int], float],
    policy: Callable[..., Scheduler],
    max_gap_ms: float | None = None,
    noise: float = 0.0,
) -> SimulatedOutcome:
    """Runs all jobs to their end.

    Args:
        coming: by time.
        cost: runner, key and size -> milliseconds.
        policy: from the registry; is called with `clock`.
        noise: relative standard deviation of a quantum's cost.
    """
    return _Play(iter(coming), cost, policy, max_gap_ms, noise).run()


class _Play:
    def __init__(
        self,
        coming: Iterator[Arrival],
        cost: Callable[[str, str, int], float],
        policy: Callable[..., Scheduler],
        max_gap_ms: float | None,
        noise: float,
    ) -> None:
        self.coming, self.following = coming, next(coming, None)
        self.now, self.cost, self.noise, self.rng = 0.0, cost, noise, random.Random(0)
        self.scheduler = GapLimiter(policy(clock=lambda: self.now), max_gap_ms=max_gap_ms)
        self.out = SimulatedOutcome()
        self.spoke: dict[Job, float] = {}  # streaming jobs: when they last did

    def run(self) -> SimulatedOutcome:
        while self.following is not None or len(self.scheduler):
            if self.following is not None and not len(self.scheduler):
                self.now = max(self.now, self.following.at)
            self._arrive()
            self._quantum(self.scheduler.next)
        self.out.end = self.now
        return self.out

    def _arrive(self) -> None:
        while self.following is not None and self.following.at <= self.now:
            self._submit(self.following)
            self.following = next(self.coming, None)

    def _submit(self, one: Arrival) -> None:
        job = SimulatedJob(one.runner, one, Request("", one.user, one.priority, one.deadline), seed=0)
        job.key, job.units, job.submitted, job.streams, job.pauses = one.key, one.units, one.at, one.streams, one.pauses
        each = self.scheduler.costs.predict((one.runner, one.key), 1)
        job.expected_ms = one.quanta * each if each is not None else None
        began = perf_counter()
        self.scheduler.add(job)
        self.out.queueing += perf_counter() - began
        self.out.most_waiting = max(self.out.most_waiting, len(self.scheduler))

    def _quantum(self, choose: Callable[[], list[Job]]) -> bool:
        """False: nobody was chosen."""
        began = perf_counter()
        batch = choose()
        self.out.choosing += perf_counter() - began
        if not batch:
            return False
        cost = self.cost(batch[0].runner, batch[0].key, len(batch))
        if self.noise:
            cost *= max(0.1, self.rng.gauss(1.0, self.noise))
        self._elapse(batch, cost)
        paid = perf_counter()
        parts = self.scheduler.charge(batch, cost)
        self.out.choosing += perf_counter() - paid
        for job, part in zip(batch, parts, strict=True):
            job.quanta += 1
            self.out.shares[job.request.user] += part / 1000
        self.out.quanta += 1
        self.out.busy += cost / 1000
        for job in batch:
            if job.streams:
                self._speak(job)
            if job.quanta >= job.payload.quanta:
                self._end(job)
        return True

    def _elapse(self, batch: list[Job], cost: float) -> None:
        """Lets the time go by that a quantum takes, and that of the answers whose turn comes inside it."""
        spent = 0.0
        while batch[0].pauses and spent < cost:
            coming = math.inf if self.following is None else 1000 * (self.following.at - self.now)
            part = min(cost - spent, max(PART, min(self.scheduler.left(spent) - PART, coming)))
            spent += part
            self.now += part / 1000
            self._arrive()
            while spent < cost and self._quantum(lambda: self.scheduler.due(batch, spent, PART)):  # noqa: B023
                pass
        self.now += (cost - spent) / 1000

    def _speak(self, job: Job) -> None:
        if job in self.spoke:
            self.out.gaps.append(self.now - self.spoke[job])
        else:
            self.out.first.append(self.now - job.payload.at)
        self.spoke[job] = self.now

    def _end(self, job: Job) -> None:
        began = perf_counter()
        self.scheduler.remove(job)
        self.out.queueing += perf_counter() - began
        self.out.jobs += 1
        self.spoke.pop(job, None)
        self.out.turnaround[job.request.priority].append(self.now - job.payload.at)
        self.out.taken[job.request.user] += self.now - job.payload.at
        self.out.late += job.request.deadline is not None and self.now > job.request.deadline


def synthetic_day(jobs: int, users: int, seed: int = 0, seconds: float = 86_400.0) -> Iterator[Arrival]:
    """Chats, images and embeddings of many users over a day, most in its middle; by time."""
    rng = random.Random(seed)
    kinds = [
        ("text", "text", "interactive", (4, 40), 1.0),
        ("denoise", "64", "normal", (8, 30), 2.0),
        ("denoise", "96", "normal", (8, 30), 2.0),
        ("decode", "64", "normal", (1, 2), 1.0),
        ("encode", "rows", "batch", (1, 20), 1.0),
    ]
    moments = [seconds * (0.7 * rng.betavariate(3, 3) + 0.3 * rng.random()) for _ in range(jobs)]
    heapq.heapify(moments)
    while moments:
        at = heapq.heappop(moments)
        runner, key, priority, quanta, units = rng.choice(kinds)
        deadline = at + rng.uniform(10, 120) if rng.random() < 0.1 else None
        user = f"user{min(int(rng.paretovariate(1.2)), users)}"
        pauses = runner in ("denoise", "decode")
        yield Arrival(at, runner, key, rng.randint(*quanta), user, priority, deadline, runner == "text", units, pauses)


def _arrival(event: dict[str, Any], quanta: int, units: float) -> Arrival:
    args = event["args"]
    due = None if args["due"] is None else args["due"] / 1e6
    return Arrival(
        event["ts"] / 1e6, args["runner"], args["key"], quanta, args["user"], args["priority"], due,
        bool(args["streams"]), units / quanta, bool(args.get("pauses", False)),
    )  # fmt: skip


def _spread(values: list[float]) -> str:
    ordered = sorted(values)
    late = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return f"{1000 * median(ordered):,.1f} ms in the middle, {1000 * late:,.1f} ms at 99 %"
