"""/v1/keys and /admin, for administrators alone; quotas as users meet them."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from mmgen.engine.job import Job, Request
from mmgen.errors import Busy
from mmgen.stores import keys as module
from mmgen.stores.keys import ALL, SCOPES

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mmgen.runtime import Runtime


@pytest.fixture
def app(served: "Runtime", make_app: "Callable[..., FastAPI]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "FastAPI":
    """Over a home of its own."""
    monkeypatch.setattr(module, "COST", 2**4)
    monkeypatch.setattr(served, "home", tmp_path / "home")
    return make_app()


@pytest.fixture
def client(app: "FastAPI") -> Iterator[TestClient]:
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def password(key: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'me:{key}'.encode()).decode()}"}


@pytest.fixture
def admin(app: "FastAPI") -> str:
    return str(app.state.keys.create("root", scopes=("admin",)))


def complete(client: TestClient, key: str, **more: Any) -> Any:
    return client.post("/v1/completions", json={"model": "tiny", "prompt": "a b", "max_tokens": 2, **more}, headers=bearer(key))


def test_a_key_from_birth_to_end(client: TestClient, admin: str) -> None:
    head = bearer(admin)
    made = client.post("/v1/keys", json={"name": "ann", "quota": 100, "rate": "60/min", "days": 1}, headers=head)
    assert made.status_code == 201
    key = made.json()["key"]
    assert complete(client, key).status_code == 200
    listed = {one["name"]: one for one in client.get("/v1/keys", headers=head).json()["data"]}
    assert set(listed) == {"ann", "root"} and key not in str(listed) and listed["ann"]["used_today"] > 0
    assert (listed["ann"]["state"], listed["ann"]["quota"], listed["ann"]["rate"]) == ("valid", 100, "60/min")
    own = client.get("/v1/usage", headers=bearer(key)).json()
    assert own["user"] == "ann" and own["quota"] == 100 and own["used"] == listed["ann"]["used_today"]
    changed = client.patch("/v1/keys/ann", json={"scopes": ["embeddings"], "rate": None}, headers=head).json()
    assert changed["scopes"] == ["embeddings"] and changed["rate"] is None and changed["quota"] == 100
    assert complete(client, key).status_code == 403, "at once"
    new = client.post("/v1/keys/ann/rotate", headers=head).json()["key"]
    assert client.get("/v1/usage", headers=bearer(key)).status_code == 401
    assert client.get("/v1/usage", headers=bearer(new)).status_code == 200
    assert client.delete("/v1/keys/ann", headers=head).json()["state"] == "revoked"
    assert client.get("/v1/usage", headers=bearer(new)).status_code == 401


@pytest.mark.parametrize(("method", "path", "body", "status"), [
    ("POST", "/v1/keys", {"name": "x y"}, 400),
    ("POST", "/v1/keys", {"name": "ann", "scopes": ["all"]}, 400),
    ("POST", "/v1/keys", {"name": "ann", "quota": 0}, 400),
    ("POST", "/v1/keys", {"name": "ann", "surname": 0}, 400),
    ("POST", "/v1/keys", {"name": "root"}, 409),
    ("PATCH", "/v1/keys/root", {"scopes": None}, 400),
    ("PATCH", "/v1/keys/root", {"rate": "fast"}, 400),
    ("PATCH", "/v1/keys/nobody", {}, 404),
    ("DELETE", "/v1/keys/nobody", None, 404),
])  # fmt: skip
def test_mistakes(client: TestClient, admin: str, method: str, path: str, body: Any, status: int) -> None:
    assert client.request(method, path, json=body, headers=bearer(admin)).status_code == status


def test_the_page_is_for_administrators(client: TestClient, app: "FastAPI") -> None:
    told = client.get("/admin")
    assert told.status_code == 403 and "mmgen keys add NAME --scopes all,admin" in told.text, "the first key is not made here"
    most, root = app.state.keys.create("ann", scopes=ALL), app.state.keys.create("root", scopes=("admin",))
    asked = client.get("/admin", headers=password(most))
    assert asked.status_code == 401 and 'realm="mmgen admin' in asked.headers["www-authenticate"], "the browser asks again"
    page = client.get("/admin", headers=password(root))
    assert (
        page.status_code == 200
        and "New key" in page.text
        and "frame-ancestors 'none'" in page.headers["content-security-policy"]
    )
    assert all(f'"{scope}"' in page.text for scope in SCOPES)
    made = client.post("/admin/keys", json={"name": "bob"}, headers=password(root))
    assert made.status_code == 201
    assert client.get("/v1/models", headers=bearer(made.json()["key"])).status_code == 200
    forged = client.post("/admin/keys", json={"name": "eve"}, headers={**password(root), "Origin": "https://evil.example"})
    assert forged.status_code == 403, "a page of another site may make the browser send its password"


def test_the_homes_owner_needs_no_key(client: TestClient, app: "FastAPI") -> None:
    assert client.get("/v1/keys", headers=bearer(app.state.token)).json()["data"] == []


def test_a_quota_is_kept_by_every_dialect(client: TestClient, app: "FastAPI", served: "Runtime") -> None:
    key = app.state.keys.create("ann", scopes=ALL)
    other = app.state.keys.create("bob", scopes=ALL)
    app.state.quotas.store.set("ann", 1e-6)
    assert complete(client, key).status_code == 200, "it is not spent yet; what has begun may end"
    message = [{"role": "user", "content": "a"}]
    for path, body in (
        ("/v1/completions", {"model": "tiny", "prompt": "a"}),
        ("/v1/chat/completions", {"model": "tiny", "messages": message, "stream": True}),
        ("/v1/messages", {"model": "tiny", "messages": message, "max_tokens": 2}),
        ("/api/generate", {"model": "tiny", "prompt": "a"}),
        ("/sdapi/v1/txt2img", {"prompt": "a"}),
        ("/v1/embeddings", {"model": "embedded:minilm", "input": "a"}),
        ("/v1/pipelines/txt2img", {"prompt": "a"}),
    ):
        told = client.post(path, json=body, headers=bearer(key))
        assert told.status_code == 429 and "device-seconds of today; they renew at" in told.text, path
        assert int(told.headers["retry-after"]) <= 86400
    with pytest.raises(Busy, match="device-seconds"):  # the page's, which calls the engine without a route
        served.engine.submit(Job("call", lambda: None, Request(user="ann")))
    assert complete(client, other).status_code == 200
    app.state.quotas.store.set("ann", 1000.0)
    assert complete(client, key).status_code == 200
