"""What Prometheus reads, and where."""

import socket
from urllib.request import urlopen

import pytest
from growing_metrics import growing

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job, Request
from mmgen.engine.telemetry.metrics import EngineState, Metrics
from mmgen.engine.telemetry.prometheus import MetricsServer, exposition, registry
from mmgen.errors import Clash

FAMILIES = [  # what dashboards and alerts are built on
    ("mmgen_quantum_milliseconds", "histogram", ("le", "runner")),
    ("mmgen_batch_jobs", "histogram", ("le", "runner")),
    ("mmgen_wait_milliseconds", "histogram", ("le", "runner")),
    ("mmgen_first_event_milliseconds", "histogram", ("le", "runner")),
    ("mmgen_between_events_milliseconds", "histogram", ("le", "runner")),
    ("mmgen_jobs", "counter", ("runner", "status")),
    ("mmgen_errors", "counter", ("error", "runner")),
    ("mmgen_out_of_memory", "counter", ("runner",)),
    ("mmgen_device_milliseconds", "counter", ("user",)),
    ("mmgen_fairness", "gauge", ()),
    ("mmgen_jobs_now", "gauge", ("priority", "runner", "state")),
    ("mmgen_ledger_bytes", "gauge", ("device", "kind")),
    ("mmgen_measured_bytes", "gauge", ("device", "kind")),
    ("mmgen_ledger_limit_bytes", "gauge", ("device",)),
    ("mmgen_model", "gauge", ("model", "state")),
    ("mmgen_evictions", "counter", ()),
    ("mmgen_gap_broken", "counter", ("runner",)),
    ("mmgen_longest_gap_milliseconds", "gauge", ()),
    ("mmgen_queue_seconds", "gauge", ()),
    ("mmgen_runner", "counter", ("runner", "what")),
]


def test_names_kinds_and_labels_are_kept(metrics: Metrics) -> None:
    streamed = Job("text", None)
    streamed.streams, streamed.submitted = True, 1.0
    for event in range(2):
        streamed.emit(event)
        metrics.observe_quantum("text", [streamed], 1.0, [1.0])
    streamed.fail(ValueError("x"))
    metrics.observe_end(streamed)
    metrics.observe_shortage("text")
    metrics.now = lambda: EngineState(
        queued={("text", "normal"): 1}, ledger={"kv": 5}, measured={"process": 9}, limit=10, device="cpu",
        models={"text x": "awake"}, broken_gaps={"draw": 4}, counters={"text": {"hits": 1}},
    )  # fmt: skip
    families = list(registry(metrics).collect())
    found = [(one.name, one.type, tuple(sorted({name for row in one.samples for name in row.labels}))) for one in families]
    assert found == FAMILIES
    bounds = [row.labels["le"] for row in families[1].samples if row.name == "mmgen_batch_jobs_bucket"]
    assert bounds[:9] == ["1", "2", "4", "8", "16", "32", "64", "128", "+Inf"]
    assert all(one.documentation[0].isupper() for one in families)


def test_openmetrics_gives_the_last_request_of_a_bucket(metrics: Metrics) -> None:
    """And only there: the text format has no exemplars."""
    job = Job("encode", None, Request(id="4711"))
    job.submitted, job.started = 1.0, 1.003
    metrics.observe_start(job)
    line = 'mmgen_wait_milliseconds_bucket{le="5",runner="encode"} 2.0'
    assert f'{line} # {{request="4711"}} ' in exposition(metrics, openmetrics=True)
    assert line in exposition(metrics).splitlines() and "4711" not in exposition(metrics)


def test_prometheus_text(metrics: Metrics) -> None:
    text = exposition(metrics)
    assert 'mmgen_quantum_milliseconds_bucket{le="20",runner="encode"} 0.0' in text
    assert 'mmgen_quantum_milliseconds_bucket{le="50",runner="encode"} 1.0' in text
    assert 'mmgen_quantum_milliseconds_bucket{le="+Inf",runner="encode"} 2.0' in text
    assert 'mmgen_wait_milliseconds_bucket{le="5",runner="encode"} 1.0' in text
    assert 'mmgen_batch_jobs_sum{runner="encode"} 3.0' in text
    assert 'mmgen_jobs_total{runner="encode",status="done"} 1.0' in text
    assert 'mmgen_device_milliseconds_total{user="bob"} 20.0' in text


def test_what_an_engine_is_at() -> None:
    now = EngineState(
        queued={("text", "normal"): 2}, running={("text", "batch"): 1}, ledger={"kv": 5}, measured={"process": 9}, limit=10,
        device="cpu", models={"text x": "asleep"}, evictions=3, broken_gaps={"draw": 4}, longest_gap_ms=7.5,
    )  # fmt: skip
    text = exposition(Metrics(lambda: now))
    for line in (
        'mmgen_jobs_now{priority="normal",runner="text",state="queued"} 2.0',
        'mmgen_jobs_now{priority="batch",runner="text",state="running"} 1.0',
        'mmgen_ledger_bytes{device="cpu",kind="kv"} 5.0',
        'mmgen_measured_bytes{device="cpu",kind="process"} 9.0',
        'mmgen_ledger_limit_bytes{device="cpu"} 10.0',
        'mmgen_model{model="text x",state="asleep"} 1.0',
        "mmgen_evictions_total 3.0",
        'mmgen_gap_broken_total{runner="draw"} 4.0',
        "mmgen_longest_gap_milliseconds 7.5",
    ):
        assert line in text.splitlines()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_metrics_by_http_until_it_is_closed() -> None:
    with Engine({}) as engine:
        engine.call(lambda: None)
        server = MetricsServer(engine.metrics, free_port())
        with urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        assert 'mmgen_quantum_milliseconds_count{runner="call"} 1.0' in text
        with pytest.raises(Clash, match=rf"metrics port {server.port} cannot be opened \(.*\); choose another metrics_port"):
            MetricsServer(engine.metrics, server.port)
        server.close()
        with pytest.raises(OSError, match="refused"):
            urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10)


def test_metrics_grow_while_they_are_scraped() -> None:
    assert 'mmgen_device_milliseconds_total{user="text"} 1.0' in exposition(growing())
