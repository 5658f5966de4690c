"""What stands before every route: sizes, headers, origins, addresses."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from fastapi import Body, FastAPI, Request
from starlette.responses import HTMLResponse, StreamingResponse
from starlette.testclient import TestClient

from mmgen.errors import BadRequest
from mmgen.serve import errors
from mmgen.serve.security import check_host, secure
from mmgen.serve.settings import ServeConfig
from mmgen.serve.wire.bodies import BodyLimit
from mmgen.stores import keys as module
from mmgen.stores.keys import KeyStore


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyStore]:
    monkeypatch.setattr(module, "COST", 2**4)
    with KeyStore(tmp_path / "keys.db") as keys:
        yield keys


def served(keys: KeyStore, **settings: Any) -> TestClient:
    app = FastAPI()
    app.state.rt = SimpleNamespace(engine=SimpleNamespace(set_weight=lambda user, weight: None, soonest=lambda: None))
    errors.install(app)

    @app.post("/v1/json")
    def take(body: Annotated[dict[str, Any], Body()]) -> int:
        return len(body)

    @app.post("/v1/raw")
    async def raw(http: Request) -> int:
        return len(await http.body())

    @app.get("/v1/fault")
    def fault() -> None:
        raise RuntimeError("a secret of ours")

    @app.get("/v1/stream")
    def stream() -> StreamingResponse:
        return StreamingResponse(iter(["a", "b"]), media_type="text/event-stream")

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse("<p>")

    secure(app, ServeConfig(max_body=1000, **settings), keys)
    return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)


def chunks(count: int, size: int = 100) -> Iterator[bytes]:
    """A body that does not say how long it is."""
    for _ in range(count):
        yield b" " * size


def test_bodies_within_the_limit(keys: KeyStore) -> None:
    client = served(keys)
    assert client.post("/v1/json", json={"a": "x" * 900}).json() == 1
    assert client.post("/v1/raw", content=chunks(10)).json() == client.post("/v1/raw", content=b"x" * 1000).json() == 1000


@pytest.mark.parametrize("path", ["/v1/json", "/v1/raw"])
@pytest.mark.parametrize("body", [b"x" * 1001, 11, 5000], ids=["says so", "just over", "endless"])
def test_bodies_over_the_limit(keys: KeyStore, path: str, body: bytes | int) -> None:
    client = served(keys)
    headers = {"Content-Type": "application/json"}
    answer = client.post(path, content=body if isinstance(body, bytes) else chunks(body), headers=headers)
    assert answer.status_code == 413 and answer.json()["error"]["code"] == "request_too_large"
    assert answer.headers["connection"] == "close" and answer.headers["x-content-type-options"] == "nosniff"


async def test_no_more_is_read_than_the_limit() -> None:
    """Whoever sends without end is not listened to: after the limit the application sees the end."""
    read, sent = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 100, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    async def greedy(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(1000):
            await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    # a length that is too small, or is no number, is no way round
    for length in (b"5", b"-1", b"1e9", b"\xb2"):
        read = 0
        sent.clear()
        await BodyLimit(greedy, 1000)({"type": "http", "path": "/", "headers": [(b"content-length", length)]}, receive, send)  # type: ignore[arg-type]
        assert read == 11 and [m.get("status") for m in sent] == [413, None]


async def test_errors_that_are_not_its_own_pass() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        await BodyLimit(broken, 10)({"type": "http", "path": "/", "headers": []}, None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/v1/json", "/v1/stream", "/v1/none", "/v1/fault", "/"])
def test_headers(keys: KeyStore, path: str) -> None:
    """On every answer, errors too; nothing of the API is ever run or framed."""
    answer = served(keys).get(path)
    policy = answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer" and "frame-ancestors 'none'" in policy
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert policy.startswith("default-src 'none'" if path != "/" else "default-src 'self'")
    assert "a secret of ours" not in answer.text


def test_refusals_have_them_too(keys: KeyStore) -> None:
    answer = served(keys).get("/v1/json", headers={"Host": "evil.example"})
    assert answer.status_code == 403 and answer.headers["x-content-type-options"] == "nosniff"


PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


def test_cors_is_off(keys: KeyStore) -> None:
    client = served(keys)
    answer = client.options("/v1/json", headers={"Origin": "https://evil.example", **PREFLIGHT})
    assert answer.status_code == 403 and not [name for name in answer.headers if name.startswith("access-control")]
    keys.create("ann")
    answer = client.options("/v1/json", headers={"Origin": "https://evil.example", **PREFLIGHT})
    assert answer.status_code == 401 and not [name for name in answer.headers if name.startswith("access-control")]


def test_cors_is_for_whom_it_names(keys: KeyStore) -> None:
    client = served(keys, cors=("https://friend.example",))
    answer = client.options("/v1/json", headers={"Origin": "https://friend.example", **PREFLIGHT})
    assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == "https://friend.example"
    assert "access-control-allow-credentials" not in answer.headers
    answer = client.post("/v1/json", json={}, headers={"Origin": "https://friend.example"})
    assert answer.status_code == 200 and "x-request-id" in answer.headers["access-control-expose-headers"]
    for origin in ("https://evil.example", "https://friend.example.evil.example", "null"):
        assert client.options("/v1/json", headers={"Origin": origin, **PREFLIGHT}).status_code == 400
        answer = client.post("/v1/json", json={}, headers={"Origin": origin})
        assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


def test_even_a_star_opens_no_keyless_server(keys: KeyStore) -> None:
    client = served(keys, cors=("*",))
    assert client.post("/v1/json", json={}, headers={"Origin": "https://evil.example"}).status_code == 403


def test_rates_are_kept(keys: KeyStore) -> None:
    client, header = served(keys), {"Authorization": f"Bearer {keys.create('ann', rate='2/day')}"}
    answers = [client.post("/v1/json", json={}, headers=header) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["1", "0", "0"]
    assert 43100 <= int(answers[2].headers["retry-after"]) <= 43200
    other = {"Authorization": f"Bearer {keys.create('bob', rate='2/day')}"}
    assert client.post("/v1/json", json={}, headers=other).status_code == 200, "everybody has their own"
    assert client.post("/v1/json", content=b"x" * 1001).status_code == 401, "who has no key is not read"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "mmgen.example", "", "localhost.evil.example"])
def test_other_machines_need_keys(keys: KeyStore, host: str) -> None:
    with pytest.raises(BadRequest, match="mmgen keys add"):
        check_host(host, keys)
    keys.create("ann")
    check_host(host, keys)
    keys.revoke("ann")
    check_host(host, keys)  # then nobody comes in


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_this_machine_needs_none(keys: KeyStore, host: str) -> None:
    check_host(host, keys)
    with pytest.raises(BadRequest):
        secure(FastAPI(), ServeConfig(host="0.0.0.0"), keys)
