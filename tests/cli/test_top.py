"""The live view, of an engine's own metrics and of made ones."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from cli_call import Call
from rich.console import Console

from mmgen.cli import top
from mmgen.engine.engine import Engine
from mmgen.engine.job import Job, Request
from mmgen.engine.telemetry.metrics import EngineState, Metrics
from mmgen.engine.telemetry.prometheus import MetricsServer, exposition
from mmgen.errors import BadRequest, NotFound


def text_of(now: top.MetricsView, last: top.MetricsView | None = None) -> str:
    console = Console(width=160, force_terminal=False)
    with console.capture() as caught:
        console.print(top.render(now, last, "http://here"))
    return caught.get()


def test_jobs_runners_and_memory_at_a_glance() -> None:
    now = EngineState(
        queued={("text:books", "interactive"): 3}, ledger={"kv": 25_000_000}, limit=10**9, models={"text books": "awake"},
        longest_gap_ms=123.0, broken_gaps={"draw": 2}, evictions=4,
    )  # fmt: skip
    metrics, job = Metrics(lambda: now), Job("text:books", None, Request(user="ann"))
    metrics.observe_quantum("text:books", [job], 30.0, [30.0])
    first = top.MetricsView.of(exposition(metrics))
    metrics.observe_quantum("text:books", [job], 50.0, [50.0])
    text = text_of(replace(top.MetricsView.of(exposition(metrics)), at=first.at + 0.1), first)
    rows = [line.split() for line in text.splitlines()]
    assert ["text:books", "50", "%", "10.0", "40.0", "1.0"] in rows
    assert ["text:books", "interactive", "3", "0"] in rows
    assert "longest gap 123 ms (2 over the cap), 0 errors, 4 evictions" in text
    assert "text books  awake" in " ".join(text.split()).replace("books awake", "books  awake")
    assert "kv" in text and "25" in text and "ann" in text


def test_before_anything_happened() -> None:
    assert "0 errors" in text_of(top.MetricsView.of(exposition(Metrics())))


def test_it_reads_an_engine_at_work(call: Call) -> None:
    with Engine({}) as engine:
        gate = threading.Event()
        engine.submit(Job("call", lambda: gate.wait(20)))
        server = MetricsServer(engine.metrics, 0)
        said = call("top", f"127.0.0.1:{server.port}", "--once")
        gate.set()
        server.close()
    assert said.code == 0 and "mmgen top" in said.out and "call" in said.out


def test_where_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"there are no metrics at 127.0.0.1:1 .*set metrics_port in config.yaml"):
        top.fetch("127.0.0.1:1")
    with pytest.raises(BadRequest, match="is no http address"):
        top.fetch("file:///etc/passwd")
    with pytest.raises(BadRequest, match="not in Prometheus' text format"):
        top.MetricsView.of("<html>{ hello }</html>")
