import math

import pytest

from mmgen.engine.job import Job, Request
from mmgen.engine.metrics import Histogram, Metrics


@pytest.fixture
def metrics() -> Metrics:
    """Two quanta of one job: 30 ms with another job of Bob's, and 99,999 ms alone."""
    metrics, job, other = Metrics(), Job("encode", None), Job("encode", None, Request(user="bob"))
    job.submitted, job.started = 1.0, 1.003
    metrics.observe_start(job)
    metrics.observe_quantum("encode", [job, other], 30.0, [10.0, 20.0])
    metrics.observe_quantum("encode", [job], 99_999.0, [99_999.0])
    job.finish()
    metrics.observe_end(job)
    return metrics


def test_snapshot(metrics: Metrics) -> None:
    snapshot = metrics.snapshot()
    assert snapshot["device_ms"] == {"local": 100_009.0, "bob": 20.0}
    assert snapshot["jobs"] == {"encode": {"done": 1}}
    quanta = snapshot["quantum_ms"]["encode"]
    assert (quanta["count"], quanta["sum"], quanta["counts"][50], quanta["counts"][math.inf]) == (2, 100_029.0, 1, 1)
    assert snapshot["batch_jobs"]["encode"]["counts"] == {1: 1, 2: 1} | dict.fromkeys((4, 8, 16, 32, 64, 128, math.inf), 0)
    assert snapshot["wait_ms"]["encode"]["counts"][5] == 1


def test_prometheus_text(metrics: Metrics) -> None:
    text = metrics.prometheus()
    assert 'mmgen_quantum_milliseconds_bucket{le="20",runner="encode"} 0.0' in text
    assert 'mmgen_quantum_milliseconds_bucket{le="50",runner="encode"} 1.0' in text
    assert 'mmgen_quantum_milliseconds_bucket{le="+Inf",runner="encode"} 2.0' in text
    assert 'mmgen_wait_milliseconds_bucket{le="5",runner="encode"} 1.0' in text
    assert 'mmgen_batch_jobs_sum{runner="encode"} 3.0' in text
    assert 'mmgen_jobs_total{runner="encode",status="done"} 1.0' in text
    assert 'mmgen_device_milliseconds_total{user="bob"} 20.0' in text


def test_a_job_that_ended_before_its_first_quantum_did_not_wait_for_it() -> None:
    metrics, job = Metrics(), Job("encode", None)
    metrics.observe_start(job)
    assert metrics.waits == {}


@pytest.mark.parametrize(("value", "bound"), [(0, 1), (1, 1), (1.5, 5), (5, 5), (6, math.inf)])
def test_a_bound_belongs_to_its_bucket(value: float, bound: float) -> None:
    histogram = Histogram((1, 5, math.inf))
    histogram.observe(value)
    assert histogram.snapshot()["counts"][bound] == 1
