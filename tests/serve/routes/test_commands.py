"""/v1/commands: for whoever holds the owner's token, with keys or without, and for nobody else."""

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

if TYPE_CHECKING:
    from fastapi import FastAPI

BODY = {"make": {}, "first": "the cat", "call": {"max_tokens": 3, "seed": 1}, "kinds": ["text", "completion"]}


@pytest.fixture(scope="module")
def app(make_app: "Callable[..., FastAPI]") -> "FastAPI":
    return make_app()


@pytest.fixture(scope="module")
def client(app: "FastAPI") -> Iterator[TestClient]:
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def owner(app: "FastAPI") -> dict[str, str]:
    return {"Authorization": f"Bearer {app.state.token}"}


def events(text: str) -> list[dict[str, Any]]:
    *told, end = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert end == "[DONE]"
    return [json.loads(one) for one in told]


def test_a_stream_with_its_result(client: TestClient, owner: dict[str, str]) -> None:
    answer = client.post("/v1/commands/text", json=BODY, headers=owner)
    assert answer.status_code == 200
    *texts, last = [(one["kind"], json.loads(one["value"])) for one in events(answer.text)]
    assert last[0] == "completion" and last[1]["texts"] == ["".join(value["text"] for _, value in texts)]


def test_nobody_else(client: TestClient, owner: dict[str, str]) -> None:
    assert client.post("/v1/commands/text", json=BODY).status_code == 403
    assert client.post("/v1/commands/text", json=BODY, headers={"Authorization": "Bearer \u00e4".encode()}).status_code == 403
    elsewhere = {**owner, "Host": "evil.example"}
    assert client.post("/v1/commands/text", json=BODY, headers=elsewhere).status_code == 403
    assert client.post("/v1/commands/text", json=BODY, headers={**owner, "Origin": "http://evil.example"}).status_code == 403


def test_where_there_are_keys(
    app: "FastAPI", client: TestClient, owner: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.state.keys, "any", lambda: True)
    assert client.post("/v1/commands/text", json=BODY).status_code == 401
    assert client.post("/v1/commands/text", json=BODY, headers={"Authorization": "Bearer other"}).status_code == 401
    assert client.post("/v1/commands/text", json=BODY, headers=owner).status_code == 200


@pytest.mark.parametrize(
    ("name", "changed", "says"),
    [
        ("tags", {}, 'tags has no option "max_tokens"'),
        ("text", {"make": {"modle": "x"}}, 'did you mean "model"'),
        ("text", {"call": {"max_tokens": 0}}, "max_tokens is 0"),
        ("text", {"call": {"max_token": 3}}, 'did you mean "max_tokens"'),
    ],
)
def test_mistakes(client: TestClient, owner: dict[str, str], name: str, changed: dict[str, Any], says: str) -> None:
    answer = client.post(f"/v1/commands/{name}", json={**BODY, **changed}, headers=owner)
    assert answer.status_code == 400 and says in answer.json()["error"]["message"]
