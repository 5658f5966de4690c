"""Who may come in, with keys and without, as somebody who may not would try."""

import asyncio
import base64
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from mmgen.serve import auth
from mmgen.serve.auth import Auth, is_api
from mmgen.stores import keys as module
from mmgen.stores.keys import SCOPES, KeyStore

Door = Callable[..., Any]


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COST", 2**4)


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[KeyStore]:
    with KeyStore(tmp_path / "keys.db") as keys:
        yield keys


@pytest.fixture
def weights() -> list[tuple[str, float]]:
    return []


@pytest.fixture
def client(keys: KeyStore, weights: list[tuple[str, float]]) -> TestClient:
    """Every path says who calls."""

    async def who(http: Request) -> JSONResponse:
        caller = getattr(http.state, "caller", None)
        return JSONResponse(caller and {"user": caller.user, "scopes": sorted(caller.scopes), "rate": str(caller.rate)})

    async def socket(websocket: Any) -> None:
        await websocket.accept()
        await websocket.close()

    inner = Starlette(routes=[WebSocketRoute("/socket", socket), Route("/{path:path}", who, methods=["GET", "POST"])])
    app = Auth(inner, keys, lambda *given: weights.append(given), origins=("https://friend.example",))
    return TestClient(app, base_url="http://localhost:8000")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"me:{key}".encode()).decode()}


def test_without_keys_everybody_here_is_local(client: TestClient) -> None:
    assert client.get("/v1/models").json()["user"] == "local"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "127.1.2.3"])
def test_names_of_this_machine(client: TestClient, host: str) -> None:
    assert client.get("/v1/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", [
    "evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "",
    "localhost:8000@evil", "10.0.0.7", "0.0.0.0", "[::ffff:127.0.0.1]", "localhost:8000\\.evil", "evil.example#localhost",
])  # fmt: skip
def test_rebound_names(client: TestClient, host: str) -> None:
    """A page whose name server points its own name at 127.0.0.1 cannot hide that name."""
    for path in ("/v1/models", "/", "/gradio_api/queue/join"):
        answer = client.get(path, headers={"Host": host})
        assert answer.status_code == 403 and answer.json()["error"]["code"] == "insufficient_permissions"


async def test_two_hosts_or_none(keys: KeyStore) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    for hosts in ([], [(b"host", b"localhost"), (b"host", b"evil.example")]):
        sent.clear()
        scope = {"type": "http", "path": "/v1/models", "headers": hosts, "method": "GET"}
        await Auth(JSONResponse({}), keys, lambda *given: None)(scope, None, send)  # type: ignore[arg-type]
        assert sent[0]["status"] == 403


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:3000", "http://localhost:8000.evil.example"]
)
def test_pages_of_other_sites(client: TestClient, keys: KeyStore, origin: str) -> None:
    """A form or a fetch of another page: the browser says where it comes from."""
    headers = {"Origin": origin}
    assert client.post("/v1/images/generations", headers=headers).status_code == 403
    assert client.get("/", headers=headers).status_code == 403
    key = keys.create("ann", scopes=SCOPES)
    assert client.post("/v1/chat/completions", headers=headers | bearer(key)).status_code == 200, "no page can know the key"
    assert client.post("/gradio_api/queue/join", headers=headers | basic(key)).status_code == 403, "but browsers know passwords"


def test_own_pages_and_friends(client: TestClient) -> None:
    for origin in ("http://localhost:8000", "https://friend.example"):
        assert client.post("/v1/models", headers={"Origin": origin}).status_code == 200


def test_a_key_says_who(client: TestClient, keys: KeyStore, weights: list[tuple[str, float]]) -> None:
    key = keys.create("ann", 2.0, "60/min", ("chat",))
    for header in ({"Authorization": f"bearer  {key}"}, bearer(key), bearer(key)):
        answer = client.get("/v1/models", headers=header)
        assert answer.json() == {"user": "ann", "scopes": ["chat"], "rate": "60/min"}
    assert client.get("/mcp", headers={**bearer(key), "Host": "mmgen.example"}).json()["user"] == "ann"
    assert weights == [("ann", 2.0)], "the engine is told once"


@pytest.mark.parametrize("header", [
    {}, bearer(""), bearer("mm-" + "A" * 43), bearer("sk-x"), {"Authorization": "mm-x"}, {"Authorization": "Basic !"},
    {"X-Api-Key": "KEY"}, {"Cookie": "key=KEY"}, basic("KEY"), {"Authorization": b"Bearer \xff\xfe"},
])  # fmt: skip
def test_no_key_no_answer(client: TestClient, keys: KeyStore, header: dict[str, Any]) -> None:
    key = keys.create("ann", scopes=SCOPES)
    given = {name: value.replace("KEY", key) if isinstance(value, str) else value for name, value in header.items()}
    for path in ("/v1/models?api_key=" + key, "/mcp", "/metrics", "/openapi.json", "/healthz/", "/healthz/x", "/v1/healthz"):
        answer = client.get(path, headers=given)
        assert answer.status_code == 401, path
        error = answer.json()["error"]
        assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "invalid_api_key", None)
        assert answer.headers["www-authenticate"] == "Bearer"
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200


def test_revoked_and_rotated_keys_end_at_once(client: TestClient, keys: KeyStore, tmp_path: Path) -> None:
    key = keys.create("ann")
    assert client.get("/v1/models", headers=bearer(key)).status_code == 200
    with KeyStore(tmp_path / "keys.db") as other:  # `mmgen keys rotate`, beside the server
        new = other.rotate("ann")
        assert client.get("/v1/models", headers=bearer(key)).status_code == 401
        assert client.get("/v1/models", headers=bearer(new)).status_code == 200
        other.revoke("ann")
    assert client.get("/v1/models", headers=bearer(new)).status_code == 401
    assert client.get("/v1/models").status_code == 401, "and without the last key nobody is local again"


def test_unknown_revoked_and_wrong_keys_are_told_the_same(client: TestClient, keys: KeyStore) -> None:
    key, gone = keys.create("ann"), keys.create("bob")
    keys.revoke("bob")
    guesses = (key[:-1] + ("A" if key[-1] != "A" else "B"), gone, "mm-" + "A" * 43, "x")
    assert len({client.get("/v1/models", headers=bearer(guess)).text for guess in guesses}) == 1


def test_the_page_asks_for_a_password(client: TestClient, keys: KeyStore) -> None:
    most, all_ = keys.create("ann", scopes=("chat",)), keys.create("bob", scopes=SCOPES)
    limited = keys.create("eve", scopes=SCOPES, stores=("notes",))
    answer = client.get("/")
    assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Basic ")
    assert client.get("/", headers=basic(all_)).json()["user"] == "bob"
    for key in (most, limited):  # the page can do what these may not
        assert client.get("/gradio_api/call", headers=basic(key)).status_code == 403
        assert client.get("/", headers=bearer(key)).status_code == 403


def test_sockets(client: TestClient, keys: KeyStore) -> None:
    with client.websocket_connect("/socket", headers={"Host": "localhost"}):
        pass
    for headers in ({"Host": "evil.example"}, {"Host": "localhost", "Origin": "https://evil.example"}):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/socket", headers=headers):
            pass
    keys.create("ann")
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/socket", headers={"Host": "localhost"}):
        pass


async def test_guessing_does_not_crowd_out(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that were proved go on; of unknown ones only some wait, and one is looked at at a time."""
    key, active, most = keys.create("ann"), 0, 0
    assert keys.verify(key)
    verify = keys.verify

    def slow(text: str) -> Any:
        nonlocal active, most
        active += 1
        most = max(most, active)
        found = verify(text)
        active -= 1
        return found

    monkeypatch.setattr(keys, "verify", slow)
    statuses: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    door = Auth(JSONResponse({}), keys, lambda *given: None)

    async def knock(text: str) -> None:
        headers = [(b"authorization", f"Bearer {text}".encode())]
        await door({"type": "http", "path": "/v1/models", "headers": headers, "method": "GET"}, None, send)  # type: ignore[arg-type]

    await asyncio.gather(*(knock(f"guess {n}") for n in range(auth.MOST_WAITING + 20)), knock(key))
    assert statuses.count(429) == 20 and statuses.count(401) == auth.MOST_WAITING and statuses.count(200) == 1 and most == 1


def test_keys_are_not_logged(client: TestClient, keys: KeyStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = keys.create("ann")
    for given in (key, key[:-1] + "_"):
        client.get("/v1/models", headers=bearer(given))
    assert key[3:] not in caplog.text and key[11:-1] not in caplog.text


def test_what_is_the_api() -> None:
    assert all(map(is_api, ("/v1", "/v1/models", "/mcp", "/mcp/", "/metrics", "/openapi.json", "/v1/\n")))
    assert not any(map(is_api, ("/", "/v10", "/v1x/models", "/gradio_api/v1/", "//v1/models", "/V1/models")))
