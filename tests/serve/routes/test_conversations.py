"""/v1/conversations over a real application: the page's chats, each key's own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from mmgen.stores.keys import KeyStore

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mmgen.runtime import Runtime

MESSAGES = [
    {"role": "user", "content": "what do queens eat?"},
    {"role": "assistant", "content": "Royal jelly [1]", "steps": [], "citations": []},
]


@pytest.fixture
def client(
    served: "Runtime", make_app: "Callable[..., FastAPI]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    """Over a home of its own, in which two people have chatted."""
    monkeypatch.setattr(served, "home", tmp_path)
    with TestClient(make_app(history=True), base_url="http://localhost", raise_server_exceptions=False) as client:
        kept = client.app.state.conversations  # type: ignore[attr-defined]
        cited = {"document": str(tmp_path / "stores" / "notes" / "bees.md"), "quote": "jelly"}
        for user, name in (("local", "Bees"), ("local", "Tea"), ("ann", "Secrets")):
            made = kept.make(user, name)
            kept.add(user, made.id, MESSAGES[0], {**MESSAGES[1], "citations": [cited]})
        yield client


def ids(client: TestClient, **query: str) -> dict[str, str]:
    return {one["name"]: one["id"] for one in client.get("/v1/conversations", params=query).json()["data"]}


def test_list_and_search(client: TestClient) -> None:
    assert list(ids(client)) == ["Tea", "Bees"] and list(ids(client, q="bee")) == ["Bees"]
    assert len(ids(client, q="queens jelly")) == 0 and len(ids(client, q="queens")) == 2
    first = client.get("/v1/conversations", params={"limit": 1}).json()
    assert first["has_more"] and first["object"] == "list" and len(first["data"]) == 1
    for wrong in ({"limit": 0}, {"limit": 10**9}, {"q": "x" * 300}):
        assert client.get("/v1/conversations", params=wrong).status_code == 400


def test_read_name_branch_and_delete(client: TestClient, tmp_path: Path) -> None:
    bees = f"/v1/conversations/{ids(client)['Bees']}"
    whole = client.get(bees).json()
    assert [one["role"] for one in whole["messages"]] == ["user", "assistant"] and whole["name"] == "Bees"
    assert str(tmp_path) not in client.get(bees).text, "where the server's home lies is its own affair"
    assert client.patch(bees, json={"name": "Queens\nof bees"}).json()["name"] == "Queens of bees"
    made = client.post(f"{bees}/branch", json={"after": 1})
    assert made.status_code == 201 and made.json()["name"] == "Queens of bees (branch)"
    assert len(client.get(f"/v1/conversations/{made.json()['id']}").json()["messages"]) == 1
    for path, body in ((bees, {"name": " "}), (bees, {"name": ""}), (bees, {"title": "x"})):
        assert client.patch(path, json=body).status_code == 400
    for after in (0, 3, "x"):
        assert client.post(f"{bees}/branch", json={"after": after}).status_code == 400
    assert client.delete(bees).json()["deleted"] and client.get(bees).status_code == 404


def test_export(client: TestClient, tmp_path: Path) -> None:
    bees = f"/v1/conversations/{ids(client)['Bees']}/export"
    file = client.get(bees)
    assert file.json()["messages"][0] == MESSAGES[0] and 'filename="conversation-' in file.headers["content-disposition"]
    text = client.get(bees, params={"form": "markdown"})
    assert text.text.startswith("# Bees") and text.headers["content-type"].startswith("text/markdown")
    assert str(tmp_path) not in file.text + text.text and client.get(bees, params={"form": "exe"}).status_code == 400


def test_what_is_another_s_is_unknown(client: TestClient) -> None:
    theirs = client.app.state.conversations.found("ann")[0].id  # type: ignore[attr-defined]
    for method, path, body in (
        ("GET", "", None), ("GET", "/export", None), ("PATCH", "", {"name": "x"}), ("POST", "/branch", {"after": 1}),
        ("DELETE", "", None),
    ):  # fmt: skip
        answers = [client.request(method, f"/v1/conversations/{id}{path}", json=body) for id in (theirs, "nobodys")]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].text.replace(theirs, "nobodys") == answers[1].text
    assert "Secrets" not in client.get("/v1/conversations", params={"q": "queens"}).text


def test_a_key_that_may_not_chat(client: TestClient, tmp_path: Path) -> None:
    keys = KeyStore(tmp_path / "keys.db")
    headers = [{"Authorization": f"Bearer {keys.create(name, scopes=[name])}"} for name in ("chat", "embeddings")]
    keys.close()
    found = [client.get("/v1/conversations", headers=one) for one in headers]
    assert [one.status_code for one in found] == [200, 403] and found[0].json()["data"] == []


def test_no_history(make_app: "Callable[..., FastAPI]") -> None:
    client = TestClient(make_app(), base_url="http://localhost")
    assert client.get("/v1/conversations").status_code == 404 and "--no-history" in client.get("/v1/conversations").text
