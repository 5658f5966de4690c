"""Ollama's messages and options as a chat's, and a turn as its objects."""

from typing import Any

import pytest

from mmgen.errors import BadRequest
from mmgen.serve.dialects import ollama_chat
from mmgen.serve.dialects.ollama_chat import OllamaEvents
from mmgen.serve.dialects.turn import Piece


def test_messages() -> None:
    given: list[dict[str, Any]] = [
        {"role": "user", "content": "What is it?", "images": ["QQ=="]},
        {"role": "assistant", "thinking": "Hm.", "tool_calls": [{"function": {"name": "sky", "arguments": {"at": 1}}}]},
        {"role": "tool", "tool_name": "sky", "content": "red"},
    ]
    user, said, result = ollama_chat.messages(given)
    assert user["content"][0]["image_url"]["url"] == "data:;base64,QQ==" and user["content"][1]["text"] == "What is it?"
    assert said["reasoning_content"] == "Hm." and said["tool_calls"][0]["function"] == {"name": "sky", "arguments": '{"at": 1}'}
    assert result["tool_call_id"] == said["tool_calls"][0]["id"] and result["name"] == "sky"


def test_options() -> None:
    given = {"temperature": 0.5, "num_predict": 7, "repeat_penalty": 1.1, "num_ctx": 4096, "mirostat": 0}
    assert ollama_chat.options(given) == {"temperature": 0.5, "max_tokens": 7, "repetition_penalty": 1.1}
    assert ollama_chat.options({"num_predict": -1}) == ollama_chat.options(None) == {}
    assert ollama_chat.response_format("json") == {"type": "json_object"} and ollama_chat.response_format("") is None
    assert ollama_chat.response_format({"type": "object"}) == {
        "type": "json_schema",
        "json_schema": {"schema": {"type": "object"}},
    }


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ollama_chat.options({"mirostat": 2}),
        lambda: ollama_chat.response_format("yaml"),
        lambda: ollama_chat.messages([{"role": "user", "images": "QQ=="}]),
        lambda: ollama_chat.messages([{"role": "assistant", "tool_calls": [{}]}]),
    ],
)
def test_what_cannot_be_is_told(wrong: Any) -> None:
    with pytest.raises(BadRequest):
        wrong()


@pytest.mark.parametrize("generates", [False, True])
def test_pieces_are_objects(generates: bool) -> None:
    made = OllamaEvents("tiny", generates)
    call = {"id": "c1", "name": "sky", "arguments": "{}"}

    def pieces() -> Any:
        for piece in (Piece("reasoning", "Hm."), Piece("text", "It is."), *([] if generates else [Piece("call", call=call)])):
            made.turn.add(piece)
            yield piece
        made.turn.finish, made.turn.usage = "length", {"prompt_tokens": 3, "completion_tokens": 2}

    *told, last = made.events(pieces())
    assert not any(one["done"] for one in told) and last["done"] and last["done_reason"] == "length"
    assert (last["prompt_eval_count"], last["eval_count"]) == (3, 2) and last["total_duration"] >= last["eval_duration"] >= 0
    whole = made.whole()
    if generates:
        assert [one["response"] for one in told] == ["", "It is."] and told[0]["thinking"] == "Hm."
        assert (whole["response"], whole["thinking"]) == ("It is.", "Hm.")
    else:
        assert told[2]["message"]["tool_calls"] == [{"function": {"name": "sky", "arguments": {}}}]
        assert whole["message"]["content"] == "It is." and whole["message"]["tool_calls"]
