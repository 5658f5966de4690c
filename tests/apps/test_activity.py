"""The last minutes of an engine: counters to rates, and a thread that goes when nobody looks."""

import time

import pytest
from growing_metrics import growing

from apps import activity, engine_html
from apps.activity import ActivityMonitor, CounterSample, rates
from mmgen.engine.engine import Engine
from mmgen.engine.job import Job
from mmgen.engine.telemetry.metrics import EngineState, Metrics
from mmgen.runners.token_batch import TokenBatchRunner


def test_counters_become_shares_and_rates() -> None:
    looks = [
        CounterSample(0.0, {"text": 100.0}, {"tokens": 10}),
        CounterSample(2.0, {"text": 1100.0, "image": 5000.0}, {"tokens": 30}),
        CounterSample(3.0, {"text": 1100.0, "image": 5000.0}, {"tokens": 30}),
    ]
    first, last = rates(looks)
    assert (first.ago, last.ago) == (1.0, 0.0)
    assert first.busy == {"text": 0.5, "image": 1.0}  # never more than the whole
    assert first.done == {"tokens": 10.0} and last.done == {"tokens": 0.0}
    assert rates(looks[:1]) == []


def test_runners_are_summed_by_what_they_do() -> None:
    work = {"text:a": "text", "text:b": "text", "denoise:c": "image", "decode:c": "image"}
    units = {"text:a": "tokens", "text:b": "tokens", "denoise:c": "steps"}
    metrics = Metrics(lambda: EngineState(work=work, units=units))
    for runner, ms in (("text:a", 5.0), ("text:b", 7.0), ("denoise:c", 11.0), ("decode:c", 2.0), ("strange", 1.0)):
        metrics.observe_quantum(runner, [Job(runner, None), Job(runner, None)], ms, [ms / 2, ms / 2])
    found = activity.look(metrics)
    assert found.busy == {"text": 12.0, "image": 13.0, "other": 1.0}
    assert found.done == {"tokens": 4.0, "steps": 2.0}


def test_encoder_work_is_shown_as_encoding() -> None:
    with Engine({"encode:tiny": TokenBatchRunner(lambda rows: rows)}) as engine:
        assert engine.submit(Job("encode:tiny", [[1, 2], [3]])).result(20) == [[1, 2], [3]]
        engine.call(lambda: None)
        found = activity.look(engine.metrics)
    assert set(found.busy) == {"encoding", "loading"} and found.busy["encoding"] > 0
    shown = engine_html.plots(rates([CounterSample(0.0), CounterSample(found.at, found.busy)]))
    assert "encoding" in shown and "other" not in shown


def test_it_looks_while_somebody_reads_and_then_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "EVERY", 0.01)
    monkeypatch.setattr(activity, "PATIENCE", 0.2)
    watching = ActivityMonitor(Metrics())
    assert watching.rates() == []
    time.sleep(0.1)
    assert len(watching.rates()) > 1
    thread = watching._thread
    assert thread is not None
    thread.join(5)
    assert not thread.is_alive() and not watching.looks
    watching.watch()
    assert watching._thread is not thread  # and looks again when somebody comes back


def test_counters_grow_while_they_are_read() -> None:
    assert activity.look(growing()).busy == {"other": 0.0}
