from mmgen.engine.job import Job
from mmgen.engine.metrics import Metrics


def test_prometheus_text() -> None:
    metrics, job = Metrics(), Job("encode", None)
    job.started = job.submitted + 0.003
    metrics.started(job)
    metrics.quantum("encode", [job, job], 30.0)
    metrics.quantum("encode", [job], 99_999.0)
    job.finish()
    metrics.ended(job)
    text = metrics.prometheus()
    assert 'mmgen_quantum_milliseconds_bucket{le="50",runner="encode"} 1.0' in text
    assert 'mmgen_quantum_milliseconds_bucket{le="+Inf",runner="encode"} 2.0' in text
    assert 'mmgen_wait_milliseconds_bucket{le="5",runner="encode"} 1.0' in text
    assert 'mmgen_jobs_total{runner="encode",status="done"} 1.0' in text
    assert 'mmgen_rows_total{runner="encode"} 3.0' in text
    assert 'mmgen_device_milliseconds_total{user="local"} 0.0' in text
