"""Lines of batches on replicas: as a route would have answered them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from mmgen.engine.job import Request
from mmgen.errors import MmgenError
from mmgen.runtime import Runtime
from mmgen.serve.batch import batch_calls
from mmgen.serve.cluster import batch_line
from mmgen.serve.cluster.call import ReplicaMessage
from mmgen.serve.cluster.fleet import Fleet
from mmgen.serve.context import Caller

PATH = "/v1/completions"


def asked(served: Runtime, **more: Any) -> dict[str, Any]:
    return {"model": served.host.config.text.rpartition("/")[2], "prompt": "one two", "max_tokens": 12, "seed": 4, **more}


def test_a_line_survives_its_replica_and_is_kept_once(cluster: Any, served: Runtime) -> None:
    with cluster(lives=[1], history=True) as (client, local):
        status, told, id = batch_calls.called(client.app, "local", PATH, asked(served))
        assert status == 200 and local.dispatcher.deaths == 1
        plain = client.post(PATH, json=asked(served)).json()
        assert told["choices"] == plain["choices"] and told["usage"] == plain["usage"]
        assert [one["id"] for one in client.get("/v1/history").json()["data"]].count(id) == 1
        (call,) = local.started[0].calls
        assert call.priority == "batch"
        (entry,) = [one for one in local.started[1].app.tracker.entries() if one.request.id == id]
        assert entry.request.priority == "batch"


def test_what_is_wrong_is_told_in_the_line(cluster: Any, served: Runtime) -> None:
    with cluster() as (client, _):
        status, told, _ = batch_calls.called(client.app, "local", PATH, asked(served, model="none"))
        assert (status, told["error"]["code"]) == (404, "model_not_found")
        status, told, _ = batch_calls.called(client.app, "local", PATH, asked(served, stream=True))
        assert status == 400 and "a batch has neither" in told["error"]["message"]
        status, told, _ = batch_calls.called(
            client.app, "local", "/v1/embeddings", {"model": "embedded:minilm", "input": ["a"]}
        )
        assert status == 200 and len(told["data"]) == 1


def test_before_the_replicas_are_there_it_is_tried_again(cluster: Any, served: Runtime) -> None:
    with cluster() as (client, local):
        fleet: Fleet = local.fleet
        loop, fleet.loop = fleet.loop, None
        with pytest.raises(MmgenError, match="the replicas are not there yet"):
            batch_line.answered(client.app, fleet, PATH, asked(served), None, None)  # type: ignore[arg-type]
        fleet.loop = loop


@pytest.mark.parametrize(("status", "body", "error"), [
    (429, b"<html>busy", "has no room"), (200, b"<html>", "no JSON object"), (502, b"[1]", "no JSON object"),
    (503, b'{"error": "x"}', "has no room"), (499, b'{"error": {"message": "gone"}}', "gone"),
])  # fmt: skip
def test_answers_that_are_none(status: int, body: bytes, error: str, monkeypatch: Any) -> None:
    @asynccontextmanager
    async def played(*given: Any) -> AsyncIterator[Any]:
        async def messages() -> AsyncIterator[ReplicaMessage]:
            yield ReplicaMessage("start", status)
            yield ReplicaMessage("body", body=body)

        yield messages()

    monkeypatch.setattr(batch_line, "played", played)
    monkeypatch.setattr(batch_line, "reference", lambda *given: "x")
    fleet = SimpleNamespace(dispatcher=SimpleNamespace(router=SimpleNamespace(check=print)))
    app = SimpleNamespace(state=SimpleNamespace(catalog=None))
    with pytest.raises(MmgenError, match=error):
        asyncio.run(batch_line._answered(app, fleet, PATH, {}, Caller(), Request.new("ann")))  # type: ignore[arg-type]
