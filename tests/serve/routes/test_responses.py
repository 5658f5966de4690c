"""/v1/responses through the official client."""

from typing import Any

import openai as sdk
import pytest
from openai import OpenAI
from starlette.testclient import TestClient

from mmgen.pipelines.chat import Chat
from mmgen.runtime import Runtime

WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {
        "type": "object", "properties": {"sky": {"enum": ["red", "blue"]}}, "required": ["sky"], "additionalProperties": False
    },
}  # fmt: skip


def ask(client: OpenAI, said: Any = "hi", **more: Any) -> Any:
    more["extra_body"] = {"seed": 3, **more.pop("extra_body", {})}
    return client.responses.create(**{"model": "tiny", "input": said, "max_output_tokens": 12, **more})


def test_whole_and_streamed_say_the_same(openai: OpenAI, served: Runtime) -> None:
    reply = ask(openai)
    alone = Chat(served)("hi", max_tokens=12, seed=3, temperature=1.0, top_p=1.0)
    assert reply.output_text == alone.text and reply.object == "response" and reply.usage.output_tokens == alone.usage.written
    events = list(ask(openai, stream=True))
    assert events[0].type == "response.created" and events[-1].type in ("response.completed", "response.incomplete")
    assert "".join(one.delta for one in events if one.type == "response.output_text.delta") == alone.text
    assert events[-1].response.output_text == alone.text


def test_a_conversation_goes_on(openai: OpenAI, served: Runtime) -> None:
    first = ask(openai, instructions="Be brief.")
    second = ask(openai, "more", previous_response_id=first.id)
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": first.output_text},
            {"role": "user", "content": "more"}]  # fmt: skip
    alone = Chat(served)(said, max_tokens=12, seed=3, temperature=1.0, top_p=1.0)
    assert second.output_text == alone.text and second.previous_response_id == first.id
    assert openai.responses.retrieve(first.id).output_text == first.output_text
    assert openai.responses.input_items.list(first.id).data[0].content[0].text == "hi"
    openai.responses.delete(first.id)
    with pytest.raises(sdk.NotFoundError):
        openai.responses.retrieve(first.id)
    with pytest.raises(sdk.NotFoundError):
        ask(openai, previous_response_id=ask(openai, store=False).id)


@pytest.mark.parametrize("stream", [False, True])
def test_a_function_is_called(openai: OpenAI, stream: bool) -> None:
    given = {"tools": [WEATHER], "tool_choice": {"type": "function", "name": "weather"}, "max_output_tokens": 60}
    reply = [*ask(openai, **given, stream=True)][-1].response if stream else ask(openai, **given)
    (call,) = reply.output
    assert (call.type, call.name) == ("function_call", "weather") and "sky" in call.arguments
    more = [{"type": "function_call_output", "call_id": call.call_id, "output": "it rains"}]
    assert ask(openai, more, previous_response_id=reply.id).output[0].type == "message"


def test_a_store_answers_with_citations(client: TestClient) -> None:
    client.post("/v1/stores", json={"name": "cited"}).raise_for_status()
    text = "The tower was built by Ada Finch in 1887. It stands in Harwick."
    client.post("/v1/stores/cited/documents", json={"text": text, "name": "tower.txt"}).raise_for_status()
    body = {
        "model": "reader",
        "input": "Who built the tower?",
        "tools": [{"type": "file_search", "vector_store_ids": ["cited"]}],
    }
    answer = client.post("/v1/responses", json=body).json()
    chat = {"model": "reader", "messages": [{"role": "user", "content": "Who built the tower?"}], "store": "cited"}
    told = client.post("/v1/chat/completions", json=chat).json()
    (part,) = answer["output"][0]["content"]
    message = told["choices"][0]["message"]
    assert 0 <= told["confidence"] == answer["confidence"] <= 1 and part["text"] == message["content"]
    assert [one["title"] for one in part["annotations"]] == [one["url_citation"]["title"] for one in message["annotations"]]
    for one in part["annotations"]:
        assert text[one["start"] : one["end"]] == one["quote"] and one["title"] == "tower.txt"
    client.delete("/v1/stores/cited")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"tools": [{"type": "web_search"}]}, "this server has function and file_search"),
        ({"background": True}, "in the foreground"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "item_reference"),
        ({"temperature": 3}, "less than or equal to 2"),
        ({"input": [{"role": "robot", "content": "x"}]}, "messages"),
    ],
)
def test_what_is_refused(openai: OpenAI, more: Any, told: str) -> None:
    with pytest.raises(sdk.BadRequestError, match=told):
        openai.responses.create(**{"model": "tiny", "input": "hi", **more})
