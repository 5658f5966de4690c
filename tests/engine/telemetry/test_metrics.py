import gc
import math
from itertools import count
from typing import Any

import pytest
from growing_metrics import growing

from mmgen.engine.job import Job
from mmgen.engine.telemetry.metrics import Histogram, Metrics, jain
from mmgen.errors import BadRequest, Cancelled


def test_snapshot(metrics: Metrics) -> None:
    snapshot = metrics.snapshot()
    assert snapshot["device_ms"] == {"local": 100_009.0, "bob": 20.0}
    assert snapshot["jobs"] == {"encode": {"done": 1}}
    quanta = snapshot["quantum_ms"]["encode"]
    assert (quanta["count"], quanta["sum"], quanta["counts"][50], quanta["counts"][math.inf]) == (2, 100_029.0, 1, 1)
    assert snapshot["batch_jobs"]["encode"]["counts"] == {1: 1, 2: 1} | dict.fromkeys((4, 8, 16, 32, 64, 128, math.inf), 0)
    assert snapshot["wait_ms"]["encode"]["counts"][5] == 1


def test_a_job_that_ended_before_its_first_quantum_did_not_wait_for_it() -> None:
    metrics, job = Metrics(), Job("encode", None)
    metrics.observe_start(job)
    assert metrics.waits == {}


@pytest.mark.parametrize(("value", "bound"), [(0, 1), (1, 1), (1.5, 5), (5, 5), (6, math.inf)])
def test_a_bound_belongs_to_its_bucket(value: float, bound: float) -> None:
    histogram = Histogram((1, 5, math.inf))
    histogram.observe(value)
    assert histogram.snapshot()["counts"][bound] == 1


def test_errors_by_their_kind(metrics: Metrics) -> None:
    for error in (ValueError("x"), BadRequest("y"), Cancelled("z")):
        job = Job("encode", None)
        job.fail(error)
        metrics.observe_end(job)
    assert metrics.errors == {("encode", "ValueError"): 1, ("encode", "BadRequest"): 1}


@pytest.mark.parametrize(("shares", "index"), [([], 1), ([0, 0], 1), ([3, 3, 3], 1), ([1, 0, 0, 0], 0.25), ([1, 3], 0.8)])
def test_fairness(shares: list[float], index: float) -> None:
    assert jain(shares) == pytest.approx(index)


def test_metrics_grow_while_they_are_read() -> None:
    assert growing().snapshot()["device_ms"] == {"text": 1}


def test_a_garbage_collection_lets_another_thread_add_a_key(metrics: Metrics) -> None:
    """Whatever Python it runs may be where threads change places."""
    numbers, held = count(), [(n, n) for n in range(2100)]  # no tuple of two is left over, so that each is allocated
    metrics.jobs = {(f"runner {n}", "done"): n for n in range(60)}

    def write(phase: str, info: Any) -> None:
        metrics.jobs[f"new {next(numbers)}", "done"] = 1

    before = gc.get_threshold()
    gc.callbacks.append(write)
    gc.set_threshold(5)
    try:
        metrics.snapshot()
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(write)
    assert held and next(numbers) > 0
