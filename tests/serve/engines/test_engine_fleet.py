"""Engines on several devices of a machine; the devices here are not real ones."""

from typing import Any

from starlette.testclient import TestClient

from mmgen.cluster.replica_state import ModelInfo, ReplicaState
from mmgen.cluster.router import ClusterRouter
from mmgen.cluster.work import ClusterRequest
from mmgen.serve.app import create_app
from mmgen.serve.engines import engine_fleet
from mmgen.serve.settings import ServeConfig

SIZES = {"large": ModelInfo(60, 5.0), "middle": ModelInfo(30, 5.0), "small": ModelInfo(15, 5.0)}


def test_models_are_placed_over_devices_by_their_bytes() -> None:
    groups = engine_fleet.device_groups(("cuda:0", "cuda:1"), {"cuda:0": 70, "cuda:1": 50}.get)
    router = ClusterRouter(SIZES)
    for name, group in groups.items():
        router.join(ReplicaState(f"{name}-0", frozenset(SIZES), group.memory, group.slots))
    placed = {}
    for number, model in enumerate(("large", "middle", "small")):
        router.submit(ClusterRequest(str(number), "ann", model))
        (sent,) = router.ready()
        placed[model] = sent.replica
    assert placed["large"] == "device0-0" and placed["middle"] == placed["small"] == "device1-0"
    assert all(sum(one.models.values()) <= (one.memory or 0) for one in router.replicas.values()) and router.moves == 3


def test_two_devices_answer_as_one(served: Any) -> None:
    settings = ServeConfig(drain_s=1.0, history=False, devices=("cpu", "cpu"))
    body = {"model": served.config.text.rpartition("/")[2], "prompt": "one two", "max_tokens": 8, "seed": 3, "temperature": 1.0}
    with engine_fleet.fleet(served, settings) as fleet:
        with TestClient(create_app(served, settings, fleet), base_url="http://localhost") as client:
            client.portal.call(fleet.ready, 2)  # type: ignore[union-attr]
            told = [client.post("/v1/completions", json=body).json()["choices"][0]["text"] for _ in range(2)]
            replicas = list(fleet.dispatcher.replicas.values())
            assert [one.device for one in replicas] == ["cpu", "cpu"]  # type: ignore[attr-defined]
            assert len({id(one.rt.engine) for one in replicas}) == 2  # type: ignore[attr-defined]
        own = told[0]
    assert told == [own, own] and own
