"""/v1/assistant: replies and events, what a key may switch on, and calls that wait for approval."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.testclient import TestClient

from mmgen.pipelines.agent.router import Route, Router
from mmgen.runtime import Runtime
from mmgen.serve.context import Caller, Context, context, here

MCP = shlex.join([sys.executable, str(Path(__file__).parents[2] / "mcp_server.py")])


def ask(client: TestClient, said: str, headers: Any = None, **more: Any) -> Any:
    return client.post("/v1/assistant", json={"messages": [{"role": "user", "content": said}], **more}, headers=headers)


def test_a_calculation(client: TestClient) -> None:
    reply = ask(client, "what is 3 * 4?").json()
    assert reply["message"] == {"role": "assistant", "content": "3 * 4 = 12"} and reply["object"] == "assistant.reply"
    assert reply["steps"][0]["call"]["tool"] == "calc" and reply["model"] is None and reply["pending"] == []


def test_events(client: TestClient) -> None:
    lines = ask(client, "what is 3 * 4?", stream=True).text.split("\n\n")
    kinds = [line.split("\n")[0].removeprefix("event: ") for line in lines if line.startswith("event:")]
    assert kinds == ["route", "call", "result", "text", "reply"] and lines[-2] == "data: [DONE]"
    assert json.loads(lines[3].partition("data: ")[2]) == {"text": "3 * 4 = 12"}


def test_an_image_comes_with_the_reply(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Router, "route", lambda *_: Route("draw", 1.0, "classifier"))
    reply = ask(client, "draw a red apple", tools=["draw"]).json()
    (image,) = reply["images"]
    assert image["kind"] == "image/png" and image["prompt"] == "a red apple"
    url = f"data:{image['kind']};base64,{image['data']}"
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "make it blue"}]
    monkeypatch.setattr(Router, "route", lambda *_: Route("edit", 1.0, "classifier"))
    body = {"messages": [{"role": "user", "content": parts}], "tools": ["draw"]}
    assert client.post("/v1/assistant", json=body).json()["images"][0]["prompt"] == "blue"


def test_no_path_of_the_server_is_told(client: TestClient, served: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Router, "route", lambda *_: Route("images", 1.0, "classifier"))
    answer = ask(client, "show cats", tools=["images"], store="nothing-here")
    assert answer.status_code == 200 and str(served.home) not in answer.text


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"tools": ["fetch"]}, 403),
        ({"tools": ["mcp"]}, 403),
        ({"tools": ["shell"]}, 400),
        ({"store": "../etc"}, 400),
        ({"rounds": 99}, 400),
        ({"tools": ["calc"], "approved": [{"tool": "draw", "arguments": {"prompt": "x"}}]}, 403),
        ({"model": "nowhere"}, 404),
        ({"messages": []}, 400),
    ],
)
def test_what_is_refused(client: TestClient, more: dict[str, Any], status: int) -> None:
    assert ask(client, "hello", **more).status_code == status


def test_the_generic_route_refers_to_it(client: TestClient) -> None:
    refused = client.post("/v1/pipelines/assistant", json={"message": "hi", "mcp": ["sh -c id"]})
    assert refused.status_code == 400 and "/v1/assistant" in refused.text
    assert "assistant" not in [one["id"] for one in client.get("/v1/pipelines").json()["data"]]


@pytest.fixture(scope="module")
def chatter(make_app: Callable[..., FastAPI]) -> Iterator[TestClient]:
    """Whose key is for chat alone, at a server with MCP servers."""
    app = make_app(mcp=(MCP,))

    async def limited(request: Request) -> Context:
        return replace(context(request), caller=Caller("chatter", frozenset({"chat"})))

    app.dependency_overrides[here] = limited
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


def test_a_key_switches_on_what_it_is_for(chatter: TestClient) -> None:
    assert ask(chatter, "who?", tools=["docs"]).status_code == 403
    assert ask(chatter, "draw", tools=["draw"]).status_code == 403
    assert ask(chatter, "what is 3 * 4?").json()["message"]["content"] == "3 * 4 = 12"


def test_a_pending_call_runs_once_it_is_approved(chatter: TestClient) -> None:
    first = ask(chatter, "use dot please", max_tokens=4).json()
    (call,) = first["pending"]
    assert call["tool"] == "dot" and call["asks"] and "permission to call dot" in first["message"]["content"]
    body = {
        "messages": [{"role": "user", "content": "use dot please"}, first["message"]],
        "approved": [{"tool": call["tool"], "arguments": call["arguments"]}],
    }
    second = chatter.post("/v1/assistant", json=body).json()
    assert second["images"][0]["width"] == 4 and second["pending"] == []
