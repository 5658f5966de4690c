"""Metrics of a small engine's life, as a snapshot and as Prometheus tell them."""

import pytest

from mmgen.engine.job import Job, Request
from mmgen.engine.telemetry.metrics import Metrics


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
