"""Metrics as prometheus_client's families, made when asked for. Knows names and labels; counts nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.samples import Exemplar

from mmgen.engine.telemetry.metrics import EngineState, Histogram, Metrics, jain


def registry(metrics: Metrics) -> CollectorRegistry:
    made = CollectorRegistry()
    made.register(_Collector(metrics))
    return made


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
            ("mmgen_quantum_milliseconds", "Length of a quantum", one.quanta),
            ("mmgen_batch_jobs", "Jobs of a quantum", one.batches),
            ("mmgen_wait_milliseconds", "Submission to first quantum", one.waits),
            ("mmgen_first_event_milliseconds", "Submission to first token of a streaming job", one.first),
            ("mmgen_between_events_milliseconds", "One token of a streaming job to the next", one.between),
        ):
            family = HistogramMetricFamily(name, what, labels=["runner"])
            for runner, histogram in list(histograms.items()):
                family.add_metric([runner], _cumulative(histogram), histogram.sum)
            yield family

    def _counters(self) -> Iterator[Any]:
        one = self.metrics
        yield _counter("mmgen_jobs", "Ended jobs", ("runner", "status"), one.jobs)
        yield _counter("mmgen_errors", "Failed jobs", ("runner", "error"), one.errors)
        shortages = {(runner,): number for runner, number in list(one.shortages.items())}
        yield _counter("mmgen_out_of_memory", "Steps that ran out of memory", ("runner",), shortages)
        spent = {(user,): value for user, value in list(one.users.items())}
        yield _counter("mmgen_device_milliseconds", "Device time", ("user",), spent)
        fairness = GaugeMetricFamily("mmgen_fairness", "Jain's index of the users' device time", labels=[])
        fairness.add_metric([], jain(value for (_,), value in spent.items()))
        yield fairness


def _gauges(now: EngineState) -> Iterator[Any]:
    states = {(*key, "queued"): number for key, number in now.queued.items()}
    states |= {(*key, "running"): number for key, number in now.running.items()}
    yield _gauge("mmgen_jobs_now", "Jobs by state", ("runner", "priority", "state"), states)
    held = {(now.device, kind): nbytes for kind, nbytes in now.ledger.items()}
    yield _gauge("mmgen_ledger_bytes", "Bytes booked", ("device", "kind"), held)
    found = {(now.device, kind): nbytes for kind, nbytes in now.measured.items()}
    yield _gauge("mmgen_measured_bytes", "Bytes as the device counts them", ("device", "kind"), found)
    limit = {} if now.limit is None else {(now.device,): now.limit}
    yield _gauge("mmgen_ledger_limit_bytes", "Bytes that can be booked", ("device",), limit)
    models = dict.fromkeys(now.models.items(), 1)
    yield _gauge("mmgen_model", "Models that were loaded, and where they are", ("model", "state"), models)
    yield _counter("mmgen_evictions", "Models that left for others", (), {(): now.evictions})
    broken = {(runner,): number for runner, number in now.broken_gaps.items()}
    yield _counter("mmgen_gap_broken", "Quanta longer than a streaming answer may wait", ("runner",), broken)
    yield _gauge("mmgen_longest_gap_milliseconds", "Of a streaming answer", (), {(): now.longest_gap_ms})
    own = {(runner, what): value for runner, counts in now.counters.items() for what, value in counts.items()}
    yield _counter("mmgen_runner", "What runners count themselves", ("runner", "what"), own)


def _counter(name: str, what: str, labels: Iterable[str], values: Mapping[Any, float]) -> CounterMetricFamily:
    """`values`: by a tuple of what the labels say."""
    family = CounterMetricFamily(name, what, labels=list(labels))
    for key, value in list(values.items()):
        family.add_metric(list(key), value)
    return family


def _gauge(name: str, what: str, labels: Iterable[str], values: Mapping[Any, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, what, labels=list(labels))
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family


def _cumulative(histogram: Histogram) -> list[Any]:
    total, buckets = 0, list[Any]()
    for place, (bound, number) in enumerate(zip(histogram.bounds, list(histogram.counts), strict=True)):
        total += number
        name = "+Inf" if bound == inf else str(bound)
        example = histogram.examples.get(place)
        exemplar = None if example is None else Exemplar({"request": example[0]}, example[1])
        buckets.append((name, float(total)) if exemplar is None else (name, float(total), exemplar))
    return buckets
