"""Calls from routes: who hangs up is not served on, errors before and amid a stream, and nothing stays behind."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import openai as sdk
import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient
from openai import OpenAI

from mmgen.errors import BadRequest, Closed
from mmgen.runtime import Runtime
from mmgen.serve import pipeline_calls
from mmgen.serve.context import Here

LONG: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 400, "seed": 4,
                        "logit_bias": {"1": -100}}  # fmt: skip


def wait(holds: Callable[[], bool], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def latest(openai: OpenAI) -> dict[str, Any]:
    found: dict[str, Any] = openai.get("/requests", cast_to=object)["data"][0]  # type: ignore[index]
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_who_hangs_up_is_cancelled_within_one_quantum(openai: OpenAI, served: Runtime, slow: Any, stream: bool) -> None:
    slow(0.05)
    jobs_before = served.engine.metrics.jobs.get((served.text().runner, "cancelled"), 0)
    with httpx.Client(base_url=str(openai.base_url), timeout=30) as raw:
        if stream:
            with raw.stream("POST", "chat/completions", json={**LONG, "stream": True}) as response:
                next(response.iter_lines())
        else:
            with pytest.raises(httpx.ReadTimeout):
                raw.post("chat/completions", json=LONG, timeout=0.5)
    left = time.monotonic()
    wait(lambda: latest(openai)["status"] == "cancelled")
    assert time.monotonic() - left < 2  # of 20 s that 400 tokens would take
    job_count = served.engine.metrics.jobs.get((served.text().runner, "cancelled"), 0)
    assert job_count == jobs_before + 1 and served.engine.stats()["running"] == 0


def test_a_stream_that_is_cancelled_from_elsewhere_ends_with_an_error(openai: OpenAI, slow: Any) -> None:
    slow(0.02)
    with pytest.raises(sdk.APIError, match="was cancelled") as caught:
        for chunk in openai.chat.completions.create(**LONG, stream=True):
            openai.post(f"/requests/{chunk.id}/cancel", cast_to=object)
    assert caught.value.code == "cancelled"
    assert latest(openai)["status"] == "cancelled"


@pytest.fixture
def odd(make_app: Any) -> Iterator[TestClient]:
    """An application with two more routes."""
    router = APIRouter()

    @router.get("/v1/bad/{how}")
    async def bad(how: str, context: Here) -> Any:
        request = context.begin("bad", "chat")

        def fail() -> Any:
            raise {"kindly": BadRequest("k is 0; it can be 1"), "badly": ZeroDivisionError("at /secret/path")}[how]

        def events() -> Iterator[Any]:
            yield {"n": 1}
            yield pipeline_calls.ServerEvent("named", {"n": 2})
            fail()

        streaming = "text/event-stream" in context.http.headers.get("accept", "")
        return (
            await pipeline_calls.stream(context, request, events)
            if streaming
            else await pipeline_calls.run(context, request, fail)
        )

    @router.post("/v1/told")
    async def told(context: Here) -> Any:
        app.state.last = weakref.ref(context)
        return await pipeline_calls.stream(context, context.begin("told", "chat"), lambda: iter([{"n": 1}]))

    app = make_app()
    app.include_router(router)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


def test_errors_of_a_route(odd: TestClient) -> None:
    kindly, badly = odd.get("/v1/bad/kindly"), odd.get("/v1/bad/badly")
    assert (kindly.status_code, kindly.json()["error"]["message"]) == (400, "k is 0; it can be 1")
    assert badly.status_code == 500 and "secret" not in badly.text and badly.json()["error"]["type"] == "server_error"
    listed = odd.get("/v1/requests").json()["data"]
    assert [one["status"] for one in listed] == ["failed", "failed"]
    assert listed[0]["id"] == badly.headers.get("x-request-id", listed[0]["id"])


def test_errors_amid_a_stream(odd: TestClient) -> None:
    lines = odd.get("/v1/bad/kindly", headers={"accept": "text/event-stream"}).text.split("\n\n")
    assert lines[:2] == ['data: {"n":1}', 'event: named\ndata: {"n":2}']
    assert '"message":"k is 0; it can be 1"' in lines[2] and lines[3:] == ["data: [DONE]", ""]
    assert "secret" not in odd.get("/v1/bad/badly", headers={"accept": "text/event-stream"}).text


def test_a_stream_that_ended_holds_nothing(odd: TestClient) -> None:
    """The tracker remembers a thousand requests and more: not what came with them."""
    assert '{"n":1}' in odd.post("/v1/told", json={"long": "body"}).text
    app: Any = odd.app
    wait(lambda: (gc.collect(), app.state.last())[1] is None)
    assert odd.get("/v1/requests").json()["data"][0]["status"] == "done"


async def test_events_that_come_together_are_sent_together() -> None:
    outbox = pipeline_calls.EventBridge(asyncio.get_running_loop(), 0.05)
    outbox.put(b"a")
    assert await outbox.get() == b"a"
    began = time.monotonic()
    threading.Thread(target=lambda: [outbox.put(b"b"), outbox.put(b"c")]).start()
    assert await outbox.get() == b"bc" and 0.03 < time.monotonic() - began < 1
    outbox.put(b"d")
    outbox.end(None)
    assert [await outbox.get(), await outbox.get()] == [b"d", None]


def test_too_many_are_told_when_to_come_back(make_app: Any, served: Runtime, slow: Any) -> None:
    served.text()
    body = {**LONG, "messages": [{"role": "user", "content": "who waits"}]}
    with TestClient(make_app(max_requests=2), base_url="http://localhost") as client:
        assert client.post("/v1/chat/completions", json={**body, "max_tokens": 4}).status_code == 200  # costs are known now
        slow(0.02)
        answers: list[Any] = []
        threads = [
            threading.Thread(target=lambda: answers.append(client.post("/v1/chat/completions", json=body))) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        wait(lambda: served.engine.stats()["running"] == 2)
        expected = served.engine.soonest()
        refused = client.post("/v1/chat/completions", json=body)
        for entry in client.get("/v1/requests").json()["data"]:
            client.delete(f"/v1/requests/{entry['id']}")
        for thread in threads:
            thread.join()
    assert refused.status_code == 429 and expected is not None
    assert 1 <= int(refused.headers["retry-after"]) <= expected + 2
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert [one.status_code for one in answers] == [499, 499]


def test_what_can_never_fit(openai: OpenAI, served: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served.text().text_runner.places, "count", 3)
    with pytest.raises(sdk.APIStatusError) as caught:
        openai.chat.completions.create(**LONG)
    assert caught.value.status_code == 413 and "bytes of keys and values" in caught.value.message
    assert caught.value.code == "request_too_large"


def test_a_shutdown_drains_and_then_cancels(make_app: Any, listen: Any, served: Runtime, slow: Any) -> None:
    served.text()
    slow(0.05)
    app = make_app(drain_s=1.0)
    live, answers = app.state.tracker, dict[int, int]()
    with listen(app) as address:

        def call(tokens: int) -> None:
            with suppress(httpx.TransportError):  # the one that is cancelled is cut off
                body = {**LONG, "max_tokens": tokens}
                answers[tokens] = httpx.post(f"{address}/v1/chat/completions", json=body, timeout=30).status_code

        threads = [threading.Thread(target=call, args=(tokens,)) for tokens in (8, 400)]
        for thread in threads:
            thread.start()
        wait(lambda: len(live) == 2)
        live.close()
        late = httpx.post(f"{address}/v1/chat/completions", json=LONG)
        assert late.status_code == 503 and late.json()["error"]["code"] == "unavailable"
        assert httpx.get(f"{address}/readyz").status_code == 503 and httpx.get(f"{address}/healthz").status_code == 200
    for thread in threads:
        thread.join()
    assert answers[8] == 200 and answers.get(400) != 200
    assert sorted(entry.state for entry in live.entries()) == ["cancelled", "done"]
    with pytest.raises(Closed):
        live.begin("chat", "ann", "normal")
