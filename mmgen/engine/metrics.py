"""Counts and durations of quanta and jobs. Knows their numbers; not who reads them or how."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any

from mmgen.engine.job import Job

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

MILLISECONDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, inf)
JOBS = (1, 2, 4, 8, 16, 32, 64, 128, inf)


class Histogram:
    """Counts by upper bound, a sum and a count."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds, self.counts = bounds, [0] * len(bounds)
        self.sum, self.count = 0.0, 0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value
        self.count += 1

    def snapshot(self) -> dict[str, Any]:
        return {"count": self.count, "sum": self.sum, "counts": dict(zip(self.bounds, self.counts, strict=True))}


class Metrics:
    """Written by the device thread; read by anybody."""

    def __init__(self) -> None:
        self.quanta: dict[str, Histogram] = {}  # runner -> milliseconds of its quanta
        self.batches: dict[str, Histogram] = {}  # runner -> jobs of its quanta
        self.waits: dict[str, Histogram] = {}  # runner -> milliseconds from submission to the first quantum
        self.jobs: dict[tuple[str, str], int] = {}  # runner, status -> ended jobs
        self.users: dict[str, float] = {}  # user -> device-milliseconds

    def observe_start(self, job: Job) -> None:
        """The job's first quantum begins."""
        if job.submitted is not None and job.started is not None:
            self.waits.setdefault(job.runner, Histogram(MILLISECONDS)).observe(1000 * (job.started - job.submitted))

    def observe_quantum(self, runner: str, jobs: Sequence[Job], milliseconds: float, parts: Sequence[float]) -> None:
        """`parts`: how the milliseconds were split among the jobs."""
        self.quanta.setdefault(runner, Histogram(MILLISECONDS)).observe(milliseconds)
        self.batches.setdefault(runner, Histogram(JOBS)).observe(len(jobs))
        for job, part in zip(jobs, parts, strict=True):
            self.users[job.request.user] = self.users.get(job.request.user, 0.0) + part

    def observe_end(self, job: Job) -> None:
        self.jobs[job.runner, job.status] = self.jobs.get((job.runner, job.status), 0) + 1

    def snapshot(self) -> dict[str, Any]:
        """All of it as plain dictionaries."""
        jobs: dict[str, dict[str, int]] = {}
        for (runner, status), number in list(self.jobs.items()):
            jobs.setdefault(runner, {})[status] = number
        return {
            "quantum_ms": {runner: histogram.snapshot() for runner, histogram in list(self.quanta.items())},
            "batch_jobs": {runner: histogram.snapshot() for runner, histogram in list(self.batches.items())},
            "wait_ms": {runner: histogram.snapshot() for runner, histogram in list(self.waits.items())},
            "jobs": jobs,
            "device_ms": dict(self.users),
        }

    def prometheus(self) -> str:
        """The text exposition format."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry).decode()

    @cached_property
    def _registry(self) -> CollectorRegistry:
        from prometheus_client import CollectorRegistry

        registry = CollectorRegistry()
        registry.register(_Collector(self))  # type: ignore[arg-type]
        return registry


class _Collector:
    """Metrics as prometheus_client's families, made when asked for."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics

    def collect(self) -> list[object]:
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        quanta = HistogramMetricFamily("mmgen_quantum_milliseconds", "Length of a quantum", labels=["runner"])
        batches = HistogramMetricFamily("mmgen_batch_jobs", "Jobs of a quantum", labels=["runner"])
        waits = HistogramMetricFamily("mmgen_wait_milliseconds", "Submission to first quantum", labels=["runner"])
        observed = ((quanta, self.metrics.quanta), (batches, self.metrics.batches), (waits, self.metrics.waits))
        for family, histograms in observed:
            for runner, histogram in list(histograms.items()):
                family.add_metric([runner], _cumulative(histogram), histogram.sum)
        jobs = CounterMetricFamily("mmgen_jobs", "Ended jobs", labels=["runner", "status"])
        for (runner, status), number in list(self.metrics.jobs.items()):
            jobs.add_metric([runner, status], number)
        users = CounterMetricFamily("mmgen_device_milliseconds", "Device time", labels=["user"])
        for user, spent in list(self.metrics.users.items()):
            users.add_metric([user], spent)
        return [quanta, batches, waits, jobs, users]


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    total, buckets = 0, []
    for bound, number in zip(histogram.bounds, list(histogram.counts), strict=True):
        total += number
        buckets.append(("+Inf" if bound == inf else str(bound), float(total)))
    return buckets
