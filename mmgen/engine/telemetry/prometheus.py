"""Metrics for Prometheus: read into prometheus_client's families at each scrape, and served over HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.samples import Exemplar

from mmgen.engine.telemetry.metrics import EngineState, Histogram, Metrics, jain
from mmgen.errors import Clash

OPENMETRICS = "application/openmetrics-text"


def registry(metrics: Metrics) -> CollectorRegistry:
    """A private registry, which holds these metrics alone."""
    made = CollectorRegistry()
    made.register(_Collector(metrics))
    return made


def exposition(metrics: Metrics, openmetrics: bool = False) -> str:
    """The text exposition format, or OpenMetrics, which also gives each bucket's last request id as an exemplar."""
    return bytes((generate_openmetrics if openmetrics else generate_latest)(registry(metrics))).decode()


class MetricsServer:
    """Serves `/metrics` on 127.0.0.1, for Prometheus and `mmgen top`, from a thread until it is closed."""

    def __init__(self, metrics: Metrics, port: int) -> None:
        try:
            self._server, self._thread = start_http_server(port, "127.0.0.1", registry(metrics))
        except OSError as why:
            raise Clash(f"metrics port {port} cannot be opened ({why.strerror}); choose another metrics_port") from None
        self.port = self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Collector:
    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics

    def collect(self) -> Iterator[Any]:
        yield from self._histograms()
        yield from self._counters()
        yield from _gauges(self.metrics.now())

    def _histograms(self) -> Iterator[HistogramMetricFamily]:
        one = self.metrics
        for name, what, histograms in (
            ("mmgen_quantum_milliseconds", "Duration of one step of a runner for a batch of jobs", one.quanta),
            ("mmgen_batch_jobs", "Batch size: jobs in one step", one.batches),
            ("mmgen_wait_milliseconds", "Queueing delay: from submission to the job's first step", one.waits),
            ("mmgen_first_event_milliseconds", "Time to first token of a streaming job", one.first),
            ("mmgen_between_events_milliseconds", "Inter-token latency of a streaming job", one.between),
        ):
            family = HistogramMetricFamily(name, what, labels=["runner"])
            for runner, histogram in histograms.copy().items():
                family.add_metric([runner], _cumulative(histogram), histogram.sum)
            yield family

    def _counters(self) -> Iterator[Any]:
        one = self.metrics
        yield _counter("mmgen_jobs", "Jobs that ended, by status", ("runner", "status"), one.jobs.copy())
        yield _counter("mmgen_errors", "Jobs that failed, by exception", ("runner", "error"), one.errors.copy())
        shortages = {(runner,): number for runner, number in one.shortages.copy().items()}
        yield _counter("mmgen_out_of_memory", "Steps that ran out of device memory, to be tried again", ("runner",), shortages)
        spent = {(user,): value for user, value in one.users.copy().items()}
        yield _counter("mmgen_device_milliseconds", "Device time charged to the user", ("user",), spent)
        fairness = GaugeMetricFamily("mmgen_fairness", "Jain's fairness index of the users' device time, 1: equal", labels=[])
        fairness.add_metric([], jain(value for (_,), value in spent.items()))
        yield fairness


def _gauges(now: EngineState) -> Iterator[Any]:
    states = {(*key, "queued"): number for key, number in now.queued.items()}
    states |= {(*key, "running"): number for key, number in now.running.items()}
    yield _gauge("mmgen_jobs_now", "Jobs that are queued or running", ("runner", "priority", "state"), states)
    held = {(now.device, kind): nbytes for kind, nbytes in now.ledger.items()}
    yield _gauge("mmgen_ledger_bytes", "Device memory reserved in the ledger, in bytes", ("device", "kind"), held)
    found = {(now.device, kind): nbytes for kind, nbytes in now.measured.items()}
    yield _gauge("mmgen_measured_bytes", "Device memory in use as the device reports it, in bytes", ("device", "kind"), found)
    limit = {} if now.limit is None else {(now.device,): now.limit}
    yield _gauge("mmgen_ledger_limit_bytes", "Device memory limit of the ledger, in bytes", ("device",), limit)
    models = dict.fromkeys(now.models.items(), 1)
    yield _gauge(
        "mmgen_model",
        "Models by place: awake on the device, resting in host memory, asleep on disk",
        ("model", "state"),
        models,
    )
    yield _counter("mmgen_evictions", "Idle models evicted from the device to make room", (), {(): now.evictions})
    broken = {(runner,): number for runner, number in now.broken_gaps.items()}
    yield _counter("mmgen_gap_broken", "Steps that made a streaming job wait longer than max_gap_ms", ("runner",), broken)
    yield _gauge(
        "mmgen_longest_gap_milliseconds", "Longest time a streaming job waited for others", (), {(): now.longest_gap_ms}
    )
    yield _gauge(
        "mmgen_queue_seconds", "Device time that all queued and running jobs are expected to take", (), {(): now.queue_s}
    )
    own = {(runner, what): value for runner, counts in now.counters.items() for what, value in counts.items()}
    yield _counter("mmgen_runner", "Counters of the runner's own", ("runner", "what"), own)


def _counter(name: str, what: str, labels: Iterable[str], values: Mapping[Any, float]) -> CounterMetricFamily:
    """`values`: by a tuple of what the labels say."""
    family = CounterMetricFamily(name, what, labels=list(labels))
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family


def _gauge(name: str, what: str, labels: Iterable[str], values: Mapping[Any, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, what, labels=list(labels))
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family


def _cumulative(histogram: Histogram) -> list[Any]:
    total, buckets = 0, list[Any]()
    for bucket, (bound, number) in enumerate(zip(histogram.bounds, list(histogram.counts), strict=True)):
        total += number
        name = "+Inf" if bound == inf else str(bound)
        last = histogram.exemplars.get(bucket)
        exemplar = None if last is None else Exemplar({"request": last[0]}, last[1])
        buckets.append((name, float(total)) if exemplar is None else (name, float(total), exemplar))
    return buckets
