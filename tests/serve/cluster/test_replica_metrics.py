from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from mmgen.cli.top import MetricsView
from mmgen.engine.job import Job
from mmgen.engine.telemetry.metrics import Metrics
from mmgen.engine.telemetry.prometheus import exposition
from mmgen.serve.cluster.replica_metrics import labelled


def text(milliseconds: float) -> str:
    metrics, job = Metrics(), Job("text", None)
    metrics.observe_quantum("text", [job], milliseconds, [milliseconds])
    return exposition(metrics)


def test_samples_say_their_replica_and_families_stay_together() -> None:
    families = {one.name: one for one in text_string_to_metric_families(labelled({"a": text(5.0), "b": text(7.0)}))}
    spent = families["mmgen_device_milliseconds"].samples
    assert {(one.labels["replica"], one.labels["user"]): one.value for one in spent} == {
        ("a", "local"): 5.0,
        ("b", "local"): 7.0,
    }
    assert families["mmgen_quantum_milliseconds"].type == "histogram"


def test_top_shows_all_of_them_together() -> None:
    view = MetricsView.of(labelled({"a": text(5.0), "b": text(7.0)}))
    assert view.get("mmgen_device_milliseconds_total") == {("local",): 12.0}
    assert view.get("mmgen_fairness") == {(): 1.0}


def test_the_server_tells_them(cluster: Any) -> None:
    with cluster() as (client, local):
        client.post("/v1/embeddings", json={"model": "embedded:minilm", "input": "a"})
        assert local.dispatcher.router.replicas
        told = client.get("/metrics").text
    assert 'mmgen_fairness{replica="ingress"}' in told and "mmgen_cluster_replicas 1.0" in told
    assert 'mmgen_replica_sent_seconds{replica="engine-0"} 0.0' in told
