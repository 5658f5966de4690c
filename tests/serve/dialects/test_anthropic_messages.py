"""Content blocks of Anthropic's API as a chat's messages, and a turn as its events."""

from typing import Any

import pytest

from mmgen.errors import BadRequest
from mmgen.serve.dialects import anthropic_messages
from mmgen.serve.dialects.anthropic_messages import MessageEvents
from mmgen.serve.dialects.turn import Piece


def test_blocks_are_messages() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}}
    given: list[dict[str, Any]] = [
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": ""}, {"type": "text", "text": "Wait."},
            {"type": "tool_use", "id": "t1", "name": "sky", "input": {"at": "noon"}},
        ]},
        {"role": "user", "content": [
            {"type": "text", "text": "And?"},
            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "red"}], "is_error": True},
            image,
        ]},
    ]  # fmt: skip
    system, first, said, result, rest = anthropic_messages.messages([{"type": "text", "text": "Be brief."}], given)
    assert (system, first) == ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Rain?"})
    assert said["content"] == "Wait." and said["reasoning_content"] == "Hm."
    assert said["tool_calls"][0]["function"] == {"name": "sky", "arguments": '{"at": "noon"}'}
    assert result["tool_call_id"] == "t1" and [part["text"] for part in result["content"]] == ["Error:", "red"]
    assert rest["content"][1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([{"role": "robot", "content": ""}], "it can be user or assistant"),
        ([{"role": "user", "content": [{"type": "document"}]}], "of type 'document'"),
        ([{"role": "user", "content": ["x"]}], "is no block"),
        ([{"role": "assistant", "content": [{"type": "server_tool_use"}]}], "no answer of this server"),
        ([{"role": "user", "content": None}], "neither a text nor a list"),
    ],
)
def test_what_cannot_be_read_is_told(given: Any, told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        anthropic_messages.messages(None, given)


def test_tools_and_choices() -> None:
    (tool,) = anthropic_messages.tools([{"name": "sky", "input_schema": {"type": "object"}}])
    assert tool == {"type": "function", "function": {"name": "sky", "parameters": {"type": "object"}}}
    assert anthropic_messages.choice({"type": "any"}) == "required" and anthropic_messages.choice(None) is None
    assert anthropic_messages.choice({"type": "tool", "name": "sky"})["function"] == {"name": "sky"}
    with pytest.raises(BadRequest, match="computer"):
        anthropic_messages.tools([{"type": "computer_20250124", "name": "computer"}])
    with pytest.raises(BadRequest):
        anthropic_messages.choice({"type": "all"})


def test_every_block_begins_and_ends() -> None:
    made = MessageEvents("1", "tiny")
    call = {"id": "c1", "name": "sky", "arguments": '{"at": 1}'}

    def pieces() -> Any:
        yield from (Piece("reasoning", "Hm."), Piece("text", "It "), Piece("text", "is."), Piece("call", call=call))
        made.turn.calls.append(call)
        made.turn.usage = {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 2}}

    events = list(made.events(pieces(), 5))
    assert [(event.event, event.data.get("index")) for event in events] == [
        ("message_start", None),
        ("content_block_start", 0), ("content_block_delta", 0), ("content_block_stop", 0),
        ("content_block_start", 1), ("content_block_delta", 1), ("content_block_delta", 1), ("content_block_stop", 1),
        ("content_block_start", 2), ("content_block_delta", 2), ("content_block_stop", 2),
        ("message_delta", None), ("message_stop", None),
    ]  # fmt: skip
    assert events[0].data["message"]["usage"]["input_tokens"] == 5
    assert events[-2].data["delta"]["stop_reason"] == "tool_use" and events[-2].data["usage"]["input_tokens"] == 3
    thinking, text, use = made.whole()["content"]
    assert (thinking["thinking"], text["text"], use["input"]) == ("Hm.", "It is.", {"at": 1})
