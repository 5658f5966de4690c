"""Counts and durations of quanta and jobs, as plain numbers. prometheus.py reads them; nothing here knows it.

A quantum is what the scheduler hands out: one call of a runner's `step` for a batch of jobs. The device thread writes several
histograms for each token, so they are plain accumulators: prometheus_client's own take eight times as long with an exemplar,
and add a `_created` series each.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from mmgen.engine.job import Job

MILLISECONDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, inf)
JOBS = (1, 2, 4, 8, 16, 32, 64, 128, inf)


class Histogram:
    """Counts by upper bound (inclusive), sum and count; for every bucket the last request in it, as its exemplar."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds, self.counts = bounds, [0] * len(bounds)
        self.sum, self.count = 0.0, 0
        self.exemplars: dict[int, tuple[str, float]] = {}  # index of the bucket -> request id, value

    def observe(self, value: float, request: str = "") -> None:
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.sum += value
        self.count += 1
        if request:
            self.exemplars[bucket] = request, value

    def snapshot(self) -> dict[str, Any]:
        return {"count": self.count, "sum": self.sum, "counts": dict(zip(self.bounds, self.counts, strict=True))}


@dataclass(frozen=True)
class EngineState:
    """The state of an engine at one moment. Runners, priorities, kinds, users and models are names."""

    queued: Mapping[tuple[str, str], int] = field(default_factory=dict)  # runner, priority -> jobs without a quantum so far
    running: Mapping[tuple[str, str], int] = field(default_factory=dict)  # ... and with one
    ledger: Mapping[str, int] = field(default_factory=dict)  # kind -> bytes reserved
    measured: Mapping[str, int] = field(default_factory=dict)  # kind -> bytes in use, as the device reports them
    limit: int | None = None  # bytes
    device: str = ""
    models: Mapping[str, str] = field(default_factory=dict)  # model -> awake, resting, asleep
    evictions: int = 0
    broken_gaps: Mapping[str, int] = field(default_factory=dict)  # runner -> quanta that exceeded max_gap_ms
    longest_gap_ms: float = 0.0
    queue_s: float = 0.0  # device time that all queued and running jobs are expected to take
    counters: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # runner -> its own counters
    work: Mapping[str, str] = field(default_factory=dict)  # runner -> "text", "image", "encoding", ...
    units: Mapping[str, str] = field(default_factory=dict)  # runner -> what a quantum gives each job: "tokens", "steps"


class Metrics:
    """Written by the device thread; read from any thread.

    Readers iterate over a `copy()` of a dictionary: it is made in one go, where `list(d.items())` allocates, so that a garbage
    collection within it may let the device thread add a key.
    """

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
        self._last_events: dict[Job, tuple[int, float]] = {}  # streaming: events so far, and when the last came

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
                self._observe_events(job)

    def observe_end(self, job: Job) -> None:
        self.jobs[job.runner, job.status] = self.jobs.get((job.runner, job.status), 0) + 1
        self._last_events.pop(job, None)
        error = job.future.exception() if job.future.done() else None
        if error is not None and job.status == "failed":
            kind = type(error.__cause__ or error).__name__
            self.errors[job.runner, kind] = self.errors.get((job.runner, kind), 0) + 1

    def observe_shortage(self, runner: str) -> None:
        """A step ran out of memory."""
        self.shortages[runner] = self.shortages.get(runner, 0) + 1

    def _observe_events(self, job: Job) -> None:
        """Several events of one quantum, such as accepted draft tokens, share its time evenly."""
        events, now = len(job.log), time.monotonic()
        before, last = self._last_events.get(job, (0, job.submitted or now))
        if events > before:
            into, fresh = (self.between, events - before) if before else (self.first, 1)
            histogram = into.setdefault(job.runner, Histogram(MILLISECONDS))
            for _ in range(fresh):
                histogram.observe(1000 * (now - last) / fresh, job.request.id)
            self._last_events[job] = events, now

    def snapshot(self) -> dict[str, Any]:
        """Everything as plain dictionaries."""
        jobs: dict[str, dict[str, int]] = {}
        for (runner, status), number in self.jobs.copy().items():
            jobs.setdefault(runner, {})[status] = number
        return {
            "quantum_ms": {runner: histogram.snapshot() for runner, histogram in self.quanta.copy().items()},
            "batch_jobs": {runner: histogram.snapshot() for runner, histogram in self.batches.copy().items()},
            "wait_ms": {runner: histogram.snapshot() for runner, histogram in self.waits.copy().items()},
            "first_ms": {runner: histogram.snapshot() for runner, histogram in self.first.copy().items()},
            "between_ms": {runner: histogram.snapshot() for runner, histogram in self.between.copy().items()},
            "jobs": jobs,
            "device_ms": dict(self.users),
        }


def jain(shares: Iterable[float]) -> float:
    """Fairness in (0, 1]: 1 where all shares are equal (Jain, Chiu and Hawe 1984); 1 of nothing."""
    values = list(shares)
    square = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * square) if square else 1.0
