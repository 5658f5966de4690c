"""/v1/history over a real application: what a chat left behind, and nobody else's."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mmgen.runtime import Runtime

PNG = b"\x89PNG\r\n\x1a\nand so on"


@pytest.fixture
def client(
    served: "Runtime", make_app: "Callable[..., FastAPI]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    """Over a home of its own."""
    monkeypatch.setattr(served, "home", tmp_path)
    with TestClient(make_app(history=True), base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def filled(client: TestClient) -> TestClient:
    history = client.app.state.history  # type: ignore[attr-defined]
    for n in range(3):
        history.add(
            "local", f"r{n}", "txt2img", {"prompt": f"apple {n}"}, {"seed": n}, {"1.png": PNG, "notes.html": b"<script>"}
        )
    history.add("ann", "theirs", "txt2img", {"prompt": "apple of ann"}, {}, {"1.png": PNG})
    return client


def test_what_was_completed_is_kept(client: TestClient) -> None:
    answer = client.post("/v1/completions", json={"model": "tiny", "prompt": "a b c", "max_tokens": 3})
    (entry,) = client.get("/v1/history").json()["data"]
    assert entry["id"] == answer.headers["x-request-id"] and entry["asked"]["prompt"] == "a b c"
    assert client.get("/v1/history", params={"q": "a b c"}).json()["data"] == [entry]
    assert client.get(f"/v1/history/{entry['id']}").json() == entry


def test_pages(filled: TestClient) -> None:
    first = filled.get("/v1/history", params={"limit": 2}).json()
    assert [one["id"] for one in first["data"]] == ["r2", "r1"] and first["has_more"] and first["last_id"] == "r1"
    last = filled.get("/v1/history", params={"limit": 2, "before": first["last_id"]}).json()
    assert [one["id"] for one in last["data"]] == ["r0"] and not last["has_more"]
    assert filled.get("/v1/history", params={"q": "pear"}).json() == {
        "object": "list", "data": [], "last_id": None, "has_more": False
    }  # fmt: skip
    assert filled.get("/v1/history", params={"limit": 0}).status_code == 400
    assert filled.get("/v1/history", params={"before": "gone"}).status_code == 404


def test_files(filled: TestClient) -> None:
    image = filled.get("/v1/history/r1/files/1.png")
    assert image.content == PNG and image.headers["content-type"] == "image/png"
    page = filled.get("/v1/history/r1/files/notes.html")
    assert page.headers["content-type"] == "application/octet-stream" and page.headers["content-disposition"] == "attachment"
    assert page.headers["x-content-type-options"] == "nosniff", "HTML is saved, and never shown"


@pytest.mark.parametrize(
    "name",
    ["../history.db", "..%2f..%2fhistory.db", "%2fetc%2fpasswd", "%2e%2e", "1.png%00", "..%5chistory.db", "1.PNG", "%25"],
)
def test_names_are_no_paths(filled: TestClient, name: str) -> None:
    for path in (f"/v1/history/r1/files/{name}", f"/v1/history/{name}/files/1.png"):
        answer = filled.get(path)
        assert answer.status_code == 404 and b"SQLite" not in answer.content


def test_what_is_another_s_is_unknown(filled: TestClient) -> None:
    for method, path in (("GET", ""), ("GET", "/files/1.png"), ("DELETE", "")):
        answers = [filled.request(method, f"/v1/history/{id}{path}") for id in ("theirs", "nobodys")]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].text.replace("theirs", "nobodys") == answers[1].text
    assert filled.get("/v1/history", params={"before": "theirs"}).status_code == 404
    assert "ann" not in filled.get("/v1/history", params={"q": "apple"}).text


def test_export(filled: TestClient) -> None:
    answer = filled.get("/v1/history/export")
    assert answer.headers["content-disposition"] == 'attachment; filename="mmgen-history.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert [json.loads(line)["id"] for line in archive.read("history.jsonl").splitlines()] == ["r0", "r1", "r2"]
        assert archive.read("files/r2/1.png") == PNG and len(archive.namelist()) == 7


def test_delete(filled: TestClient) -> None:
    assert filled.delete("/v1/history/r1").json() == {"object": "history.deleted", "deleted": 1}
    assert filled.delete("/v1/history/r1").status_code == 404
    assert filled.delete("/v1/history").json()["deleted"] == 2
    assert filled.get("/v1/history").json()["data"] == []
    assert filled.app.state.history.get("ann", "theirs").asked == {"prompt": "apple of ann"}  # type: ignore[attr-defined]


def test_no_history(make_app: "Callable[..., FastAPI]") -> None:
    client = TestClient(make_app(), base_url="http://localhost")
    assert client.get("/v1/history").status_code == 404 and "--no-history" in client.get("/v1/history").text
