"""The whole server, as somebody sees it who wants what is not theirs."""

import base64
import errno
import http.client
import io
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from PIL import Image
from starlette.testclient import TestClient

from mmgen.errors import BadRequest
from mmgen.stores import keys as module
from mmgen.stores.keys import SCOPES, KeyStore

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mmgen.runtime import Runtime

OPEN = {"/healthz", "/readyz"}
EVIL = "<script>alert(document.cookie)</script><img src=x onerror=alert(1)>"


@pytest.fixture
def app(served: "Runtime", make_app: "Callable[..., FastAPI]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "FastAPI":
    """Over a home of its own."""
    monkeypatch.setattr(module, "COST", 2**4)
    monkeypatch.setattr(served, "home", tmp_path / "home")
    return make_app(history=True, max_body=100_000, audit=tmp_path / "home" / "audit.jsonl", audit_prompts=True)


@pytest.fixture
def client(app: "FastAPI") -> Iterator[TestClient]:
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def login(app: "FastAPI") -> Callable[..., dict[str, str]]:
    """`login("ann", scopes=...)`: the headers of a new key."""
    keys: KeyStore = app.state.keys
    return lambda name, **rights: {"Authorization": f"Bearer {keys.create(name, **rights)}"}


@pytest.fixture
def netloc(app: "FastAPI", listen: "Callable[[FastAPI], AbstractContextManager[str]]") -> Iterator[str]:
    """Host and port of a real server."""
    with listen(app) as address:
        yield address.removeprefix("http://")


def completed(client: TestClient, header: dict[str, str], prompt: str = "a b") -> Any:
    body = {"model": "tiny", "prompt": prompt, "max_tokens": 2}
    return client.post("/v1/completions", json=body, headers=header)


def routes(app: "FastAPI") -> list[tuple[str, str]]:
    """Every method and path that is described, and those that are not."""
    described = [(method.upper(), path) for path, one in app.openapi()["paths"].items() for method in one]
    hidden = ("/mcp", "/openapi.json", "/docs", "/redoc", "/admin", "/admin/keys")
    return [*described, *((method, path) for path in hidden for method in ("GET", "POST"))]


def test_no_route_is_forgotten(app: "FastAPI", client: TestClient, login: Any) -> None:
    found = routes(app)
    assert len(found) > 30
    for method, path in found:
        assert client.request(method, path, headers={"Host": "evil.example"}).status_code in (403, 200 if path in OPEN else 403)
        assert client.request(method, path, headers={"Origin": "null"}).status_code in (403, 200 if path in OPEN else 403)
    login("ann")
    for method, path in found:
        answer = client.request(method, path)
        assert (answer.status_code == 401) is (path not in OPEN), (method, path)
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_other_machines_are_not_served_without_keys(make_app: "Callable[..., FastAPI]", app: "FastAPI", login: Any) -> None:
    with pytest.raises(BadRequest, match="mmgen keys add"):
        make_app(host="0.0.0.0")
    login("ann")
    make_app(host="0.0.0.0")


@pytest.mark.parametrize(("method", "path", "body", "scope"), [
    ("POST", "/v1/completions", {"model": "tiny", "prompt": "a"}, "chat"),
    ("POST", "/v1/chat/completions", {"model": "tiny", "messages": [{"role": "user", "content": "a"}]}, "chat"),
    ("POST", "/v1/embeddings", {"model": "minilm", "input": "a"}, "embeddings"),
    ("POST", "/v1/rerank", {"query": "a", "documents": ["b"]}, "embeddings"),
    ("POST", "/v1/images/generations", {"prompt": "a"}, "images"),
    ("POST", "/v1/pipelines/txt2img", {"prompt": "a"}, "images"),
    ("POST", "/v1/pipelines/rag-text", {"question": "a"}, "stores"),
    ("GET", "/v1/stores", None, "stores"),
    ("POST", "/v1/stores/x/ask", {"question": "a"}, "stores"),
    ("POST", "/v1/stores", {"name": "x"}, "stores:write"),
    ("DELETE", "/v1/stores/x", None, "stores:write"),
    ("POST", "/v1/stores/x/documents", {"text": "a"}, "stores:write"),
    ("GET", "/metrics", None, "engine"),
    ("GET", "/v1/keys", None, "admin"),
    ("POST", "/v1/keys", {"name": "eve", "scopes": ["admin"]}, "admin"),
    ("PATCH", "/v1/keys/ann", {"scopes": ["admin"]}, "admin"),
    ("POST", "/v1/keys/ann/rotate", None, "admin"),
    ("DELETE", "/v1/keys/ann", None, "admin"),
])  # fmt: skip
def test_a_key_is_for_what_it_is_for(client: TestClient, login: Any, method: str, path: str, body: Any, scope: str) -> None:
    header = login("ann", scopes=[one for one in SCOPES if one != scope])
    answer = client.request(method, path, json=body, headers=header)
    assert answer.status_code == 403 and answer.json()["error"]["code"] == "insufficient_permissions", answer.text


SEARCH = {"type": "file_search", "vector_store_ids": ["x"]}
DIALECTS: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/responses", {"model": "tiny", "input": "a"}, "chat"),
    ("/v1/responses", {"model": "reader", "input": "a", "tools": [SEARCH]}, "stores"),
    ("/v1/chat/completions", {"model": "reader", "messages": [{"role": "user", "content": "a"}], "store": "x"}, "stores"),
    ("/v1/messages", {"model": "tiny", "max_tokens": 1, "messages": [{"role": "user", "content": "a"}]}, "chat"),
    ("/v1/messages/count_tokens", {"model": "tiny", "messages": [{"role": "user", "content": "a"}]}, "chat"),
    ("/v1/batches", {"input_file_id": "x", "endpoint": "/v1/embeddings"}, "embeddings"),
    ("/v1/batches", {"input_file_id": "x", "endpoint": "/v1/completions"}, "chat"),
    ("/api/chat", {"model": "tiny", "messages": [{"role": "user", "content": "a"}]}, "chat"),
    ("/api/generate", {"model": "tiny", "prompt": "a"}, "chat"),
    ("/api/generate", {"model": "tiny", "prompt": "a", "raw": True}, "chat"),
    ("/api/embed", {"model": "embedded:minilm", "input": "a"}, "embeddings"),
    ("/sdapi/v1/txt2img", {"prompt": "a"}, "images"),
    ("/sdapi/v1/interrupt", {}, "images"),
    ("/sdapi/v1/options", {"sd_model_checkpoint": "x"}, "images"),
]  # fmt: skip


def test_no_dialect_is_a_way_round(client: TestClient, login: Any) -> None:
    limited = login("bob", scopes=SCOPES, stores=("other",))
    for number, (path, body, scope) in enumerate(DIALECTS):
        header = login(f"ann{number}", scopes=[one for one in SCOPES if one != scope])
        answer = client.post(path, json=body, headers=header)
        assert answer.status_code == 403 and f'not for \\"{scope}\\"' in answer.text, (path, answer.text)
        if scope == "stores":
            assert "may not use store" in client.post(path, json=body, headers=limited).text


def test_tools_are_no_way_round(client: TestClient, login: Any) -> None:
    header = login("ann", scopes=("chat",)) | {"Accept": "application/json, text/event-stream"}
    for name, said in (
        ("txt2img", {"prompt": "a"}),
        ("search", {"store": "x", "query": "a"}),
        ("ask", {"store": "x", "question": "a"}),
    ):
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": said}}
        answer = client.post("/mcp", json=call, headers=header)
        assert "this key is not for" in answer.text, answer.text


def test_stores_of_others(client: TestClient, login: Any, served: "Runtime") -> None:
    ann = login("ann", scopes=SCOPES, stores=("notes",))
    bob = login("bob", scopes=SCOPES)
    for name in ("notes", "diary"):
        client.post("/v1/stores", json={"name": name}, headers=bob).raise_for_status()
        client.post(f"/v1/stores/{name}/documents", json={"text": f"secret of {name}"}, headers=bob).raise_for_status()
    assert [one["id"] for one in client.get("/v1/stores", headers=ann).json()["data"]] == ["notes"]
    assert client.post("/v1/stores/notes/search", json={"query": "secret"}, headers=ann).status_code == 200
    attempts = [
        ("GET", "/v1/stores/diary", None),
        ("DELETE", "/v1/stores/diary", None),
        ("GET", "/v1/stores/diary/documents", None),
        ("POST", "/v1/stores/diary/documents", {"text": "x"}),
        ("DELETE", "/v1/stores/diary/documents/1", None),
        ("POST", "/v1/stores/diary/search", {"query": "secret"}),
        ("POST", "/v1/stores/diary/ask", {"question": "secret"}),
        ("POST", "/v1/stores", {"name": "mine"}),
        ("POST", "/v1/stores", {"name": "diary"}),
        ("POST", "/v1/pipelines/rag-text", {"question": "secret"}),
        ("POST", "/v1/pipelines/rag-text", {"question": "secret", "store": "diary"}),
        ("POST", "/v1/pipelines/rag-text", {"question": "secret", "store": str(served.home / "stores" / "diary")}),
        ("POST", "/v1/pipelines/image-search", {"text": "secret"}),
        ("POST", "/v1/stores/notes%2f..%2fdiary/search", {"query": "secret"}),
    ]
    for method, path, body in attempts:
        answer = client.request(method, path, json=body, headers=ann)
        assert answer.status_code in (400, 403, 404) and "secret of work" not in answer.text, (path, answer.text)
        assert str(served.home) not in answer.text.replace(str(body and body.get("store")), ""), "where things lie is not told"


def test_requests_and_history_of_others(client: TestClient, login: Any) -> None:
    ann, bob = login("ann"), login("bob")
    answer = completed(client, ann, "my secret plan")
    id = answer.headers["x-request-id"]
    assert client.get(f"/v1/requests/{id}", headers=ann).status_code == 200
    assert client.get(f"/v1/history/{id}", headers=ann).json()["asked"]["prompt"] == "my secret plan"
    for attempt in ("GET requests/ID", "DELETE requests/ID", "POST requests/ID/cancel", "GET history/ID", "DELETE history/ID",
                    "GET history/ID/files/1.png"):  # fmt: skip
        method, path = attempt.split()
        theirs, none = (client.request(method, f"/v1/{path.replace('ID', one)}", headers=bob) for one in (id, "0" * 12))
        assert theirs.status_code == none.status_code == 404
        assert theirs.text.replace(id, "") == none.text.replace("0" * 12, ""), "nor does anybody learn that it exists"
    for path in ("requests", "history", "history?q=secret", "history/export"):
        assert id.encode() not in client.get(f"/v1/{path}", headers=bob).content
    assert client.get("/v1/requests", headers=login("eve", scopes=("engine",))).json()["data"], "but for who may see the engine"


def test_images_of_others(client: TestClient, login: Any) -> None:
    ann, bob = login("ann"), login("bob")
    answer = client.post("/v1/images/generations", json={"prompt": "a cat", "response_format": "url"}, headers=ann)
    assert answer.status_code == 200, answer.text
    path = urlsplit(answer.json()["data"][0]["url"]).path
    assert Image.open(io.BytesIO(client.get(path, headers=ann).content)).format == "PNG"
    assert client.get(path, headers=bob).status_code == 404 and client.get(path).status_code == 401
    folder, _, _ = path.rpartition("/")
    for name in ("..%2f..%2fkeys.db", "..%2fhistory%2fhistory.db", "%2fetc%2fpasswd"):
        assert client.get(f"{folder}/{name}", headers=ann).status_code in (400, 404)


def test_names_of_uploads_are_no_paths(client: TestClient, served: "Runtime", tmp_path: Path) -> None:
    client.post("/v1/stores", json={"name": "notes"}).raise_for_status()
    for name in ("../../../evil.txt", "/tmp/evil.txt", "..\\evil.txt", "C:\\evil.txt", "keys.db", ".ssh/authorized_keys"):
        client.post("/v1/stores/notes/documents", files=[("files", (name, b"Some text of an attacker."))])
    written = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert not {name for name in written if "evil" in name or "authorized" in name} and "store.sqlite" in written
    assert (served.home / "keys.db").read_bytes().startswith(b"SQLite format 3")


def test_html_of_documents_is_never_a_page(client: TestClient) -> None:
    client.post("/v1/stores", json={"name": "notes"}).raise_for_status()
    client.post("/v1/stores/notes/documents", json={"text": f"Tea. {EVIL} More tea.", "name": f"{EVIL}.txt"}).raise_for_status()
    client.post(
        "/v1/stores/notes/documents", files=[("files", ("page.html", f"<p>Tea {EVIL}</p>".encode()))]
    ).raise_for_status()
    for answer in (
        client.post("/v1/stores/notes/search", json={"query": "tea"}),
        client.get("/v1/stores/notes/documents"),
        client.post("/v1/stores/notes/ask", json={"question": "tea?", "min_confidence": 0}),
        client.get(f"/v1/stores/{EVIL}"),
        client.get("/v1/history"),
    ):
        assert answer.headers["content-type"] == "application/json" and answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_a_key_leaves_no_trace(
    client: TestClient, login: Any, served: "Runtime", caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    header = login("ann")
    key = header["Authorization"].removeprefix("Bearer ")
    assert completed(client, header, f"what is {key} for?").status_code == 200
    client.get(f"/v1/requests/{key}", headers=header)
    client.post("/v1/completions", json={"model": key}, headers=header)
    secret, out = key[11:], capfd.readouterr()
    assert client.get("/v1/history", headers=header).json()["data"][0]["asked"]["prompt"] == "what is mm-*** for?"
    assert secret not in "".join(record.getMessage() for record in caplog.records if not record.name.startswith("httpx"))
    assert secret not in out.out + out.err
    assert not [path for path in served.home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert (served.home / "keys.db").stat().st_mode & 0o077 == 0


def test_images_that_are_sent_are_kept_as_hashes(client: TestClient, served: "Runtime") -> None:
    out = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(out, "PNG")
    text = base64.b64encode(out.getvalue()).decode()
    answer = client.post("/v1/pipelines/zero-shot-image", json={"image": text, "labels": ["a", "b"]})
    assert answer.status_code == 200, answer.text
    stored = b"".join(path.read_bytes() for path in (served.home / "history").rglob("*") if path.is_file())
    assert text[100:200].encode() not in stored and out.getvalue()[100:200] not in stored and b"zero-shot-image" in stored


def test_bodies_without_end_over_a_socket(netloc: str) -> None:
    """No content-length, and more and more: the answer comes before the end, which never would."""
    connection = http.client.HTTPConnection(netloc, timeout=20)
    connection.putrequest("POST", "/v1/embeddings")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader("Content-Type", "application/json")
    connection.endheaders()
    for _ in range(25):  # 102,400 bytes, and the limit is 100,000
        connection.send(b"1000\r\n" + b" " * 4096 + b"\r\n")
    answer = connection.getresponse()
    assert answer.status == 413 and b"request_too_large" in answer.read()
    connection.close()


def test_keys_share_the_engine_by_their_weights(
    client: TestClient, login: Any, served: "Runtime", monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, float]] = []
    monkeypatch.setattr(served.engine, "set_weight", lambda *given: told.append(given))
    header = login("ann", weight=2.0)
    assert completed(client, header).status_code == completed(client, header).status_code == 200
    assert told == [("ann", 2.0)]


HI = [{"role": "user", "content": "a"}]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", {"messages": [1] * 5000}),
        ("chat/completions", {"messages": HI * 4000}),  # more messages than tokens
        ("chat/completions", {"messages": HI, "logit_bias": {str(n): 1 for n in range(5000)}}),
        ("chat/completions", {"messages": HI, "chat_template_kwargs": {f"v{n}": 1 for n in range(5000)}}),
        ("chat/completions", {"messages": [{"role": "user", "content": "a b " * 200_000}]}),
        ("completions", {"prompt": "a b " * 200_000}),
        ("completions", {"prompt": [7] * 20_000}),
        ("embeddings", {"model": "embedded:minilm", "input": "red apple " * 80_000}),
        ("responses", {"input": [{"role": "user", "content": [{"type": "input_text", "text": 7}] * 3}] * 4000}),
        ("responses", {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}] * 4000}),
        ("messages", {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "x" * 200}] * 9000}]}),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 9000}]}),
        ("/api/chat", {"messages": [{"role": "wrong", "content": 7}] * 4000}),
        ("/api/chat", {"messages": [*HI, {"role": "assistant", "tool_calls": [{}] * 20_000}]}),
        ("/sdapi/v1/txt2img", {"alwayson_scripts": {"controlnet": {"args": [{"model": "x" * 300, "image": "A"}] * 9000}}}),
    ],
)  # fmt: skip
def test_small_bodies_that_would_cost_much(make_app: "Callable[..., FastAPI]", path: str, body: Any) -> None:
    with TestClient(make_app(), base_url="http://localhost", raise_server_exceptions=False) as client:
        path = path if path.startswith("/") else f"/v1/{path}"
        client.post(path, json={"model": "tiny", **body, "max_tokens": 0})  # the models are loaded by now
        began = time.process_time()
        answer = client.post(path, json={"model": "tiny", "max_tokens": 1, **body})
    assert answer.status_code == 400 and time.process_time() - began < 1, answer.text


def test_half_a_character_is_stored_nowhere(client: TestClient) -> None:
    for body in (r'{"model":"\ud800","messages":[{"role":"user","content":"a"}]}', r'{"model":"tiny","prompt":"\ud800"}'):
        for path in (
            "chat/completions",
            "completions",
            "embeddings",
            "images/generations",
            "pipelines/text",
            "rerank",
            "stores",
        ):
            answer = client.post(f"/v1/{path}", content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == 400
    assert client.get("/v1/requests").status_code == 200 and client.get("/v1/requests/%ed%b2%80").status_code == 404


def test_a_full_disk(client: TestClient, app: "FastAPI", monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> str:
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere")

    monkeypatch.setattr(app.state.kept_files, "add", full)
    answer = client.post("/v1/images/generations", json={"prompt": "a", "response_format": "url"})
    assert answer.status_code == 507 and "disk is full" in answer.text and "somewhere" not in answer.text
