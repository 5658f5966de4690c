import base64
import io
import json
from typing import Any

import pytest
from mcp import Client
from PIL import Image
from starlette.testclient import TestClient

from mmgen.pipelines.image import recipe


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    """Today's protocol, and the one with a handshake."""
    found: str = request.param
    return found


async def call(server: str, name: str, **given: Any) -> Any:
    async with Client(f"{server}/mcp") as client:
        return await client.call_tool(name, given)


async def test_the_pipelines_are_tools(server: str, mode: str) -> None:
    async with Client(f"{server}/mcp", mode=mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        drawn = await client.call_tool("txt2img", {"prompt": "a cat", "steps": 2, "seed": 5})
    assert {"ask", "search", "txt2img", "text", "zero-shot-image"} <= tools.keys()
    assert tools["txt2img"].input_schema["required"] == ["prompt"]
    image, text = drawn.content
    assert image.type == "image" and image.mime_type == "image/png" and not drawn.is_error
    assert recipe.of(Image.open(io.BytesIO(base64.b64decode(image.data))), "it").seed == 5
    assert json.loads(text.text)["seeds"] == [5] == drawn.structured_content["seeds"]


async def test_documents_are_asked_and_searched(server: str, client: TestClient) -> None:
    client.post("/v1/stores", json={"name": "told"})
    client.post("/v1/stores/told/documents", json={"text": "The tower was built by Ada Finch.", "name": "tower.txt"})
    answer = (await call(server, "ask", store="told", question="Who built it?", min_confidence=0)).structured_content
    found = (await call(server, "search", store="told", query="tower", k=1)).structured_content
    client.delete("/v1/stores/told")
    (one, *_) = answer["citations"]
    assert "The tower was built by Ada Finch."[one["start"] : one["end"]] == one["quote"]
    assert found["data"][0]["document"] == "tower.txt"


async def test_a_text_is_written(server: str) -> None:
    told = await call(server, "text", prompt="a", max_tokens=3, temperature=0)
    assert told.structured_content["result"]["texts"][0]


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("txt2img", {}, "prompt"), ("txt2img", {"prompt": "x", "steps": 0}, "steps is 0"), ("nothing", {}, "no pipeline"),
        ("ask", {"question": "x"}, "store"), ("ask", {"question": "x", "store": "../x"}, "no name"),
        ("search", {"query": "x", "store": "absent"}, "no store"), ("zero-shot-image", {"image": "/etc/passwd"}, "base64"),
    ],
)  # fmt: skip
async def test_mistakes_are_told_in_the_result(server: str, name: str, given: dict[str, Any], said: str) -> None:
    result = await call(server, name, **given)
    assert result.is_error and said in result.content[0].text


def test_who_has_no_key_calls_no_tool(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = client.app.state.keys  # type: ignore[attr-defined]
    monkeypatch.setattr(keys, "any", lambda: True)
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"accept": "application/json, text/event-stream"}
    assert client.post("/mcp", json=body, headers=accept).status_code == 401


async def test_nothing_stays_under_way(server: str, client: TestClient) -> None:
    await call(server, "txt2img", prompt="x", steps=0)
    await call(server, "txt2img", prompt="x", steps=1)
    requests = client.get("/v1/requests").json()
    assert not [one for one in requests.get("data", []) if one.get("state") == "running"]
