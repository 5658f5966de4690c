"""Counts and durations of quanta and jobs, kept in a Prometheus registry of the engine's own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from mmgen.engine.job import Job

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

MILLISECONDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, float("inf"))


class Histogram:
    """Counts by bucket, a sum and a count."""

    def __init__(self) -> None:
        self.counts = [0] * len(MILLISECONDS)
        self.sum, self.count = 0.0, 0

    def observe(self, value: float) -> None:
        self.counts[next(i for i, bound in enumerate(MILLISECONDS) if value <= bound)] += 1
        self.sum += value
        self.count += 1


class Metrics:
    """Written by the engine's thread; read by anybody."""

    def __init__(self) -> None:
        self.quanta: dict[str, Histogram] = {}  # runner -> milliseconds of its quanta
        self.waits: dict[str, Histogram] = {}  # runner -> milliseconds from submission to the first quantum
        self.jobs: dict[tuple[str, str], int] = {}  # runner, status -> ended jobs
        self.users: dict[str, float] = {}  # user -> device-milliseconds of ended jobs
        self.rows: dict[str, int] = {}  # runner -> jobs stepped, summed over quanta

    def quantum(self, runner: str, jobs: Sequence[Job], milliseconds: float) -> None:
        self.quanta.setdefault(runner, Histogram()).observe(milliseconds)
        self.rows[runner] = self.rows.get(runner, 0) + len(jobs)

    def started(self, job: Job) -> None:
        assert job.started is not None
        self.waits.setdefault(job.runner, Histogram()).observe(1000 * (job.started - job.submitted))

    def ended(self, job: Job) -> None:
        self.jobs[job.runner, job.status] = self.jobs.get((job.runner, job.status), 0) + 1
        self.users[job.request.user] = self.users.get(job.request.user, 0.0) + job.device_ms

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
        waits = HistogramMetricFamily("mmgen_wait_milliseconds", "Submission to first quantum", labels=["runner"])
        for family, histograms in ((quanta, self.metrics.quanta), (waits, self.metrics.waits)):
            for runner, histogram in list(histograms.items()):
                total, buckets = 0, []
                for bound, count in zip(MILLISECONDS, histogram.counts, strict=True):
                    total += count
                    buckets.append(("+Inf" if bound == float("inf") else str(bound), total))
                family.add_metric([runner], buckets, histogram.sum)
        jobs = CounterMetricFamily("mmgen_jobs", "Ended jobs", labels=["runner", "status"])
        for (runner, status), count in list(self.metrics.jobs.items()):
            jobs.add_metric([runner, status], count)
        rows = CounterMetricFamily("mmgen_rows", "Jobs stepped, summed over quanta", labels=["runner"])
        for runner, count in list(self.metrics.rows.items()):
            rows.add_metric([runner], count)
        users = CounterMetricFamily("mmgen_device_milliseconds", "Device time of ended jobs", labels=["user"])
        for user, spent in list(self.metrics.users.items()):
            users.add_metric([user], spent)
        return [quanta, waits, jobs, rows, users]
