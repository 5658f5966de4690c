"""The replicas of a server, listed and replaced while it answers."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.testclient import TestClient

from mmgen.runtime import Runtime
from mmgen.serve.app import create_app
from mmgen.serve.context import Caller


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller may do everything."""
    monkeypatch.setattr(Caller, "check", lambda *_: None)


def asked(served: Runtime, seed: int) -> dict[str, Any]:
    return {"model": served.host.config.text.rpartition("/")[2], "prompt": "one two", "max_tokens": 24, "seed": seed}


def test_replicas_are_listed(cluster: Any, served: Runtime) -> None:
    with cluster(replicas=2) as (client, _):
        client.post("/v1/completions", json=asked(served, 1)).raise_for_status()
        told = client.get("/v1/cluster").json()
    assert [one["name"] for one in told["replicas"]] == ["engine-0", "engine-1"]
    assert told["replicas"][0]["where"] == "here (process 1)" and told["waiting"] == told["deaths"] == 0
    assert sum(len(one["models"]) for one in told["replicas"]) >= 1
    assert told["groups"] == [{"name": "engine", "starting": 0, "trouble": None}]


def test_an_update_replaces_every_replica_without_an_error(cluster: Any, served: Runtime, admin: None) -> None:
    def text(seed: int) -> str:
        answer = client.post("/v1/completions", json=asked(served, seed))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["choices"][0]["text"])

    with cluster(replicas=2) as (client, local):
        before = [text(seed) for seed in range(3)]
        with ThreadPoolExecutor(6) as pool:
            meanwhile = [pool.submit(text, number % 3) for number in range(12)]
            told = client.post("/v1/cluster/update").json()
            assert [one.result() for one in meanwhile] == [before[number % 3] for number in range(12)]
        assert told["replicas"] == ["engine-2", "engine-3"] == sorted(local.dispatcher.replicas)
        assert all(one.dead.is_set() for one in local.started[:2]) and local.dispatcher.deaths == 0
        assert text(0) == before[0]


def test_what_is_under_way_for_too_long_is_played_again(cluster: Any, served: Runtime, admin: None, slow: Any) -> None:
    body = asked(served, 1) | {"max_tokens": 40}
    with cluster() as (client, local):
        whole = client.post("/v1/completions", json=body).json()["choices"][0]["text"]
        slow(0.05)
        local.fleet.config = local.fleet.config.model_copy(update={"drain_s": 0.1})
        with ThreadPoolExecutor(1) as pool:
            long = pool.submit(client.post, "/v1/completions", json=body)
            while not any(one.sent for one in local.dispatcher.router.replicas.values()):
                pass
            assert client.post("/v1/cluster/update").status_code == 200
            assert long.result().json()["choices"][0]["text"] == whole
        assert local.dispatcher.replayed == 1


def test_a_new_one_that_does_not_start_is_told(cluster: Any, admin: None) -> None:
    with cluster(lives=[None, 0, 0, 0]) as (client, _):
        client.get("/v1/cluster")
        answer = client.post("/v1/cluster/update")
        assert answer.status_code == 503 and "the update ended at engine-0: " in answer.json()["error"]["message"]


def test_it_takes_a_key_for_it_and_a_cluster(cluster: Any, served: Runtime) -> None:
    with cluster() as (client, _):
        assert client.post("/v1/cluster/update").status_code == 403
    with alone(served) as client:
        told = client.get("/v1/cluster")
        assert told.status_code == 404 and "mmgen serve --ray has some" in told.json()["error"]["message"]


@contextmanager
def alone(served: Runtime) -> Any:
    with TestClient(create_app(served), base_url="http://localhost") as client:
        yield client


def test_a_lost_head_is_told(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmgen.serve.cluster.fleet.WATCH_S", 0.01)
    with cluster() as (client, local):
        assert client.get("/readyz").status_code == 200
        told = ["Ray's head is lost", "Ray's head is lost", ""]

        async def find() -> str:
            return told[0] if len(told) == 1 else told.pop(0)

        client.portal.call(_watching, local.fleet, find)
        wait(lambda: client.get("/readyz").status_code == 200 and len(told) == 1)
        told[:] = ["Ray's head is lost"]
        wait(lambda: client.get("/readyz").json() == {"status": "Ray's head is lost"})
        assert client.get("/v1/cluster").json()["trouble"] == "Ray's head is lost"


async def _watching(fleet: Any, find: Any) -> None:
    fleet._spawn(fleet._watch(find))


def wait(until: Any) -> None:
    ends = time.monotonic() + 60
    while not until():
        assert time.monotonic() < ends, "not in time"
        time.sleep(0.01)
