"""vLLM's API behind our router, over real sockets, against a stub of it."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from serve.engines.openai_stub import EngineStub, engine
from starlette.testclient import TestClient

from mmgen.errors import BadRequest, NotFound
from mmgen.serve.app import create_app
from mmgen.serve.engines import engine_fleet
from mmgen.serve.settings import ServeConfig


@pytest.fixture
def stub(request: pytest.FixtureRequest) -> Iterator[EngineStub]:
    """vLLM's, or with the parameter "sglang" that one's."""
    with engine(sglang=getattr(request, "param", "") == "sglang") as made:
        yield made


@pytest.fixture
def client(served: Any, stub: EngineStub) -> Iterator[TestClient]:
    settings = ServeConfig(drain_s=1.0, engines={"vllm": {"url": stub.url}})  # type: ignore[dict-item]
    with ExitStack() as stack:
        fleet = stack.enter_context(engine_fleet.fleet(served, settings))
        app = create_app(served, settings, fleet)
        yield stack.enter_context(TestClient(app, base_url="http://localhost", raise_server_exceptions=False))


def asked(**more: Any) -> dict[str, Any]:
    return {
        "model": "big/model",
        "prompt": "x",
        "max_tokens": 4,
        "stream": True,
        "logprobs": 1,
        "return_token_ids": True,
    } | more


def choices(stream: str) -> list[dict[str, Any]]:
    events = [line[6:] for line in stream.splitlines() if line.startswith("data: ")]
    assert events and events[-1] == "[DONE]", stream
    return [json.loads(event)["choices"][0] for event in events[:-1]]


def test_streams_pass_with_token_ids_and_log_probabilities(client: TestClient, stub: EngineStub, served: Any) -> None:
    answer = client.post("/v1/completions", json=asked())
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = choices(answer.text)
    assert [one["token_ids"] for one in found] == [[0], [1], [2], [3]] and found[2]["logprobs"]["token_logprobs"] == [-1.0]
    assert isinstance(stub.asked[0]["seed"], int) and stub.asked[0]["return_token_ids"]
    whole = client.post("/v1/completions", json=asked(stream=False, seed=5)).json()
    assert whole["choices"][0]["token_ids"] == [5, 6] and stub.asked[1]["seed"] == 5
    kept = client.get("/v1/history").json()["data"][:2]  # newest first; other tests' are behind them
    assert [one["result"]["texts"] for one in kept] == [[" one two"], [" 0 1 2 3"]] and kept[0]["asked"]["prompt"] == "x"
    assert client.app.state.fleet.dispatcher.users["local"] > 0  # type: ignore[attr-defined]
    assert "big/model" in [one["id"] for one in client.get("/v1/models").json()["data"]]
    own = client.post("/v1/completions", json={"model": served.config.text.rpartition("/")[2], "prompt": "a", "max_tokens": 2})
    assert own.status_code == 200 and len(stub.asked) == 2, "what no engine serves, this process does"


@pytest.mark.parametrize("stub", ["sglang"], indirect=True)
def test_an_engine_without_token_ids_and_metrics(client: TestClient, stub: EngineStub) -> None:
    found = choices(client.post("/v1/completions", json=asked()).text)
    assert "".join(one["text"] for one in found) == " 0 1 2 3" and "token_ids" not in found[0]
    (replica,) = client.get("/v1/cluster").json()["replicas"]
    assert replica["models"] == ["big/model"] and "num_requests_running" not in client.get("/metrics").text


def test_an_engine_that_dies_in_a_stream_is_asked_again(client: TestClient, stub: EngineStub) -> None:
    stub.deaths = 1
    found = choices(client.post("/v1/completions", json=asked()).text)
    assert [one["token_ids"] for one in found] == [[0], [1], [2], [3]] and len(stub.asked) == 2
    assert stub.asked[0] == stub.asked[1], "with the same seed"


@pytest.mark.parametrize("stub", ["vllm", "sglang"], indirect=True)
def test_what_the_engine_refuses_is_told_as_it_says_it(client: TestClient, stub: EngineStub) -> None:
    answer = client.post("/v1/completions", json=asked(temperature=3, stream=False))
    told = answer.json() if stub.sglang else answer.json()["error"]
    assert answer.status_code == 400 and told["message"] == "temperature is 3"
    other = client.post(
        "/v1/messages", json={"model": "big/model", "max_tokens": 3, "messages": [{"role": "user", "content": "a"}]}
    )
    assert other.status_code == 400 and "is not answered by the engine of this model" in other.text


def test_a_cancelled_request_is_aborted_there(client: TestClient, stub: EngineStub) -> None:
    stub.pause = 0.02
    with client.stream("POST", "/v1/completions", json=asked(max_tokens=500)) as answer:
        id = answer.headers["x-request-id"]
        lines = answer.iter_lines()
        next(lines)
        assert client.delete(f"/v1/requests/{id}").status_code < 300
        assert "was cancelled" in "".join(lines)
    until = time.monotonic() + 20
    while not stub.aborted:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("messages", [7, [7], [{"role": "user", "content": [7, {"type": "text", "text": "a"}]}], None])
def test_bodies_that_only_the_engine_understands(client: TestClient, messages: Any) -> None:
    """Its answer is passed on whatever was asked, and its end with it."""
    answer = client.post("/v1/chat/completions", json=asked(messages=messages))
    assert [one["token_ids"] for one in choices(answer.text)] == [[0], [1], [2], [3]]
    (entry,) = client.get("/v1/history?limit=1").json()["data"]
    assert entry["result"]["texts"] == [" 0 1 2 3"]


def test_the_replica_tells_how_it_is(client: TestClient) -> None:
    dispatcher = client.app.state.fleet.dispatcher  # type: ignore[attr-defined]
    until = time.monotonic() + 20
    while not dispatcher.reports:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert 'vllm:num_requests_running{replica="vllm-0"} 1.0' in client.get("/metrics").text


def test_addresses_that_are_wrong(served: Any, stub: EngineStub, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(**address: Any) -> None:
        with engine_fleet.fleet(served, ServeConfig(engines={"vllm": address})):
            pass

    with pytest.raises(NotFound, match=r"no engine answers at http://127.0.0.1:1/v1 \(Connection refused\); start it"):
        made(url="http://127.0.0.1:1/v1")
    for url in ("ftp://x", "http://x:99999/v1", "http://[::1"):
        with pytest.raises(BadRequest, match="is no address of an engine"):
            made(url=url)
    with pytest.raises(BadRequest, match=r"engines.vllm.key_env names NO_KEY, which is not set"):
        made(url=stub.url, key_env="NO_KEY")
    stub.key = "secret"
    with pytest.raises(NotFound, match="answers 401, which asks for a key"):
        made(url=stub.url)
    monkeypatch.setenv("THE_KEY", "secret")
    made(url=stub.url, key_env="THE_KEY")
