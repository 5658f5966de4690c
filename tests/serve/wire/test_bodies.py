"""Bodies that hold too much, come too slowly, or say what JSON cannot."""

import asyncio
import json
from typing import Annotated, Any

import pytest
from fastapi import Body, FastAPI
from starlette.testclient import TestClient

from mmgen.errors import BadRequest
from mmgen.serve import errors
from mmgen.serve.wire import bodies
from mmgen.serve.wire.bodies import BodyLimit


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    errors.install(app)

    @app.post("/v1/json")
    def take(body: Annotated[dict[str, Any], Body()]) -> int:
        return len(body)

    app.add_middleware(BodyLimit, most=10**6)
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ('{"a":1}', 200, ""),
        ('{"a":[' + "1," * 60_000 + "1]}", 413, "more than 50,000"),
        ('{"a":' + "[" * 200, 400, "nest deeper than 100"),
        (r'{"model":"\ud800"}', 400, "no JSON"),
        (r'{"\udfff":1}', 400, "no JSON"),
        ('{"a":NaN}', 400, "no JSON"),
        ('{"a":-Infinity}', 400, "no JSON"),
        ('{"a":', 400, "no JSON"),
        (r'{"a":"\ud83d\ude00 \\ud800"}', 200, ""),
    ],
    ids=lambda value: str(value)[:20],
)
def test_json_is_checked_before_a_route_sees_it(client: TestClient, text: str, status: int, said: str) -> None:
    answer = client.post("/v1/json", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == status and said in answer.text
    assert status == 200 or answer.json()["error"]["type"] == "invalid_request_error"


def test_raw_surrogates_are_no_json() -> None:
    with pytest.raises(BadRequest, match="no JSON"):
        bodies.check(b'{"a":"\xed\xa0\x80"}')


async def answered(messages: list[dict[str, Any]], headers: list[tuple[bytes, bytes]], idle_s: float) -> list[int]:
    """The statuses of what is sent to a client whose messages come, and then no more."""
    sent: list[int] = []

    async def receive() -> Any:
        if messages:
            return messages.pop(0)
        return await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message.get("status", 0))

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request" and message.get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    limit = BodyLimit(reads, 1000, idle_s)
    scope: Any = {"type": "http", "path": "/v1/json", "headers": [*headers, (b"content-length", b"100")]}
    await limit(scope, receive, send)
    return sent


@pytest.mark.parametrize("kind", [b"application/json", b"application/octet-stream"])
async def test_who_stops_in_the_middle_is_not_waited_for(kind: bytes) -> None:
    half = [{"type": "http.request", "body": b'{"a":', "more_body": True}]
    assert await answered(half, [(b"content-type", kind)], idle_s=0.02) == [408, 0]
    whole = [{"type": "http.request", "body": json.dumps({"a": 1}).encode(), "more_body": False}]
    assert await answered(whole, [(b"content-type", kind)], idle_s=0.02) == [200, 0]


async def test_nobody_is_answered_who_left_in_the_middle() -> None:
    left = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    assert await answered(left, [(b"content-type", b"application/json")], idle_s=1) == []


async def test_who_still_sends_hears_why_it_was_refused() -> None:
    more = [{"type": "http.request", "body": b"[" * 500, "more_body": True}, {"type": "http.request", "body": b"]" * 500}]
    assert await answered(more, [(b"content-type", b"application/json")], idle_s=1) == [400, 0, 0] and not more
