"""Counts and durations of quanta and jobs. Knows their numbers; not who reads them or how (see exposition.py)."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any

from mmgen.engine.job import Job

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

MILLISECONDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, inf)
JOBS = (1, 2, 4, 8, 16, 32, 64, 128, inf)


class Histogram:
    """Counts by upper bound, a sum and a count; of every bound the last request that fell into it."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds, self.counts = bounds, [0] * len(bounds)
        self.sum, self.count = 0.0, 0
        self.examples: dict[int, tuple[str, float]] = {}  # place of the bound -> request id, value

    def observe(self, value: float, request: str = "") -> None:
        place = bisect_left(self.bounds, value)
        self.counts[place] += 1
        self.sum += value
        self.count += 1
        if request:
            self.examples[place] = request, value

    def snapshot(self) -> dict[str, Any]:
        return {"count": self.count, "sum": self.sum, "counts": dict(zip(self.bounds, self.counts, strict=True))}


@dataclass(frozen=True)
class EngineState:
    """What an engine is at. Runners, priorities, kinds, users and models are names."""

    queued: Mapping[tuple[str, str], int] = field(default_factory=dict)  # runner, priority -> jobs without a quantum so far
    running: Mapping[tuple[str, str], int] = field(default_factory=dict)  # ... and with one
    ledger: Mapping[str, int] = field(default_factory=dict)  # kind -> bytes
    measured: Mapping[str, int] = field(default_factory=dict)  # what the device says itself
    limit: int | None = None  # bytes
    device: str = ""
    models: Mapping[str, str] = field(default_factory=dict)  # model -> awake, resting, asleep
    evictions: int = 0
    broken_gaps: Mapping[str, int] = field(default_factory=dict)  # runner -> quanta that broke the cap
    longest_gap_ms: float = 0.0
    counters: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # runner -> what it counts itself
    work: Mapping[str, str] = field(default_factory=dict)  # runner -> "text", "image", "encoding", ...
    units: Mapping[str, str] = field(default_factory=dict)  # runner -> what a quantum gives each job: "tokens", "steps"


class Metrics:
    """Written by the device thread; read by anybody."""

    def __init__(self, now: Callable[[], EngineState] = EngineState) -> None:
        self.now = now
        self.quanta: dict[str, Histogram] = {}  # runner -> milliseconds of its quanta
        self.batches: dict[str, Histogram] = {}  # runner -> jobs of its quanta
        self.waits: dict[str, Histogram] = {}  # runner -> milliseconds from submission to the first quantum
        self.first: dict[str, Histogram] = {}  # streaming runner -> milliseconds from submission to the first event
        self.between: dict[str, Histogram] = {}  # streaming runner -> milliseconds from one event to the next
        self.jobs: dict[tuple[str, str], int] = {}  # runner, status -> ended jobs
        self.errors: dict[tuple[str, str], int] = {}  # runner, kind of error -> failed jobs
        self.shortages: dict[str, int] = {}  # runner -> steps that ran out of memory
        self.users: dict[str, float] = {}  # user -> device-milliseconds
        self._heard: dict[Job, tuple[int, float]] = {}  # streaming: events so far, and when the last came

    def observe_start(self, job: Job) -> None:
        """The job's first quantum begins."""
        if job.submitted is not None and job.started is not None:
            wait = 1000 * (job.started - job.submitted)
            self.waits.setdefault(job.runner, Histogram(MILLISECONDS)).observe(wait, job.request.id)

    def observe_quantum(self, runner: str, jobs: Sequence[Job], milliseconds: float, parts: Sequence[float]) -> None:
        """`parts`: how the milliseconds were split among the jobs."""
        self.quanta.setdefault(runner, Histogram(MILLISECONDS)).observe(milliseconds)
        self.batches.setdefault(runner, Histogram(JOBS)).observe(len(jobs))
        for job, part in zip(jobs, parts, strict=True):
            self.users[job.request.user] = self.users.get(job.request.user, 0.0) + part
            if job.streams:
                self._listen(job)

    def observe_end(self, job: Job) -> None:
        self.jobs[job.runner, job.status] = self.jobs.get((job.runner, job.status), 0) + 1
        self._heard.pop(job, None)
        error = job.future.exception() if job.future.done() else None
        if error is not None and job.status == "failed":
            kind = type(error.__cause__ or error).__name__
            self.errors[job.runner, kind] = self.errors.get((job.runner, kind), 0) + 1

    def observe_shortage(self, runner: str) -> None:
        """A step ran out of memory."""
        self.shortages[runner] = self.shortages.get(runner, 0) + 1

    def _listen(self, job: Job) -> None:
        """Several events of one quantum count as that many, in equal distances."""
        events, now = len(job.log), time.monotonic()
        heard, last = self._heard.get(job, (0, job.submitted or now))
        if events > heard:
            into, fresh = (self.between, events - heard) if heard else (self.first, 1)
            histogram = into.setdefault(job.runner, Histogram(MILLISECONDS))
            for _ in range(fresh):
                histogram.observe(1000 * (now - last) / fresh, job.request.id)
            self._heard[job] = events, now

    def snapshot(self) -> dict[str, Any]:
        """All of it as plain dictionaries."""
        jobs: dict[str, dict[str, int]] = {}
        for (runner, status), number in list(self.jobs.items()):
            jobs.setdefault(runner, {})[status] = number
        return {
            "quantum_ms": {runner: histogram.snapshot() for runner, histogram in list(self.quanta.items())},
            "batch_jobs": {runner: histogram.snapshot() for runner, histogram in list(self.batches.items())},
            "wait_ms": {runner: histogram.snapshot() for runner, histogram in list(self.waits.items())},
            "first_ms": {runner: histogram.snapshot() for runner, histogram in list(self.first.items())},
            "between_ms": {runner: histogram.snapshot() for runner, histogram in list(self.between.items())},
            "jobs": jobs,
            "device_ms": dict(self.users),
        }

    def prometheus(self, openmetrics: bool = False) -> str:
        """The text exposition format; OpenMetrics also tells a request id as an example for a bucket."""
        import prometheus_client
        from prometheus_client.openmetrics import exposition

        if openmetrics:
            return bytes(exposition.generate_latest(self.registry)).decode()
        return prometheus_client.generate_latest(self.registry).decode()

    @cached_property
    def registry(self) -> CollectorRegistry:
        """For whoever serves them."""
        from mmgen.engine.telemetry.prometheus import registry

        return registry(self)


def jain(shares: Iterable[float]) -> float:
    """Fairness in (0, 1]: 1 where all shares are equal (Jain, Chiu and Hawe 1984); 1 of nothing."""
    values = list(shares)
    square = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * square) if square else 1.0
