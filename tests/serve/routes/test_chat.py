"""/v1/chat/completions through the official client: whole, streamed and async, and what the body can ask for."""

import base64
import io
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import openai as sdk
import pytest
import tiny_vision_chat
from openai import AsyncOpenAI, OpenAI
from PIL import Image
from starlette.testclient import TestClient

from mmgen.models.lm.chat_template import ChatTemplate
from mmgen.pipelines.chat import Chat
from mmgen.pipelines.language import content_parts
from mmgen.runtime import Runtime
from mmgen.serve.context import Context
from mmgen.serve.routes.chat import ChatRequest
from mmgen.serve.tools import Tool, ToolCallParser, Tools

HI: list[Any] = [{"role": "user", "content": "hi"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"sky": {"enum": ["red", "blue"]}},
            "required": ["sky"],
            "additionalProperties": False,
        },
    },
}
TIME: Any = {"type": "function", "function": {"name": "clock"}}


def ask(client: OpenAI, messages: list[Any] = HI, **more: Any) -> Any:
    return client.chat.completions.create(**{"model": "tiny", "messages": messages, "max_tokens": 12, "seed": 3, **more})


def test_the_whole_answer(openai: OpenAI, served: Runtime) -> None:
    reply = ask(openai)
    alone = Chat(served)("hi", max_tokens=12, seed=3, temperature=1.0, top_p=1.0)
    assert reply.choices[0].message.content == alone.text and reply.choices[0].message.role == "assistant"
    assert reply.choices[0].finish_reason == alone.finish_reasons[0] and reply.model == "tiny"
    assert reply.id.startswith("chatcmpl-") and reply.object == "chat.completion" and reply.system_fingerprint
    assert reply.usage.prompt_tokens == alone.usage.prompt and reply.usage.completion_tokens == alone.usage.written
    assert reply.usage.total_tokens == alone.usage.prompt + alone.usage.written
    assert reply._request_id == reply.id.removeprefix("chatcmpl-")
    long = [{"role": "user", "content": "the same beginning, " * 8}]
    ask(openai, long)
    assert ask(openai, long).usage.prompt_tokens_details.cached_tokens > 0


def test_images_in_a_conversation(client: TestClient, served: Runtime, tmp_path: Path) -> None:
    folder = tiny_vision_chat.saved("qwen2_vl", tmp_path / "eyes")
    image, out = Image.linear_gradient("L").convert("RGB").resize((50, 40)), io.BytesIO()
    image.save(out, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"

    def asked(model: str, url: str, **more: Any) -> Any:
        content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "w3 w4"}]
        body = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 16, "temperature": 0, **more}
        return client.post("/v1/chat/completions", json=body)

    expected = Chat(served, model=str(folder))(
        [{"role": "user", "content": content_parts.with_images("w3 w4", [image])}], max_tokens=16, temperature=0
    )
    with patch.object(Context, "model", lambda self, name, kind: str(folder) if name == "eyes" else None):
        whole = asked("eyes", url)
        assert whole.json()["choices"][0]["message"]["content"] == expected.text
        assert whole.json()["usage"]["prompt_tokens"] == expected.usage.prompt > 10
        lines = [line[6:] for line in asked("eyes", url, stream=True).text.splitlines() if line.startswith("data: {")]
        deltas = [json.loads(line)["choices"][0]["delta"].get("content") or "" for line in lines]
        assert "".join(deltas) == expected.text and sum(map(bool, deltas)) > 3
        refused = asked("tiny", url)
        assert refused.status_code == 400 and "sees no images" in refused.json()["error"]["message"]
        fetched = asked("eyes", "http://127.0.0.1/a.png")
        assert fetched.status_code == 403 and "fetches no URLs" in fetched.json()["error"]["message"]
    path = tmp_path / "a.png"
    image.save(path)
    message = {"role": "user", "content": [{"type": "image", "image": str(path)}, {"type": "text", "text": "w3"}]}
    other = client.post("/v1/pipelines/chat", json={"message": [message]})  # no path of the server's is opened
    assert other.status_code == 403 and "fetches no URLs" in other.json()["error"]["message"]


def test_the_history_keeps_no_images() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aaaa"}}
    body = ChatRequest.model_validate({"model": "m", "messages": [{"role": "user", "content": [part]}, *HI]})
    told = body.asked()["messages"]
    assert told[0]["content"][0]["image_url"]["url"] == "data:image/png;base64,..." and told[1]["content"] == "hi"


def test_the_stream_says_the_same(openai: OpenAI) -> None:
    whole = ask(openai, n=2)
    chunks = list(ask(openai, n=2, stream=True, stream_options={"include_usage": True}))
    texts, reasons = ["", ""], [None, None]
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            reasons[choice.index] = choice.finish_reason or reasons[choice.index]
    assert texts == [choice.message.content for choice in whole.choices]
    assert reasons == [choice.finish_reason for choice in whole.choices]
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[0].object == "chat.completion.chunk"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert len({chunk.id for chunk in chunks}) == 1 and chunks[0].usage is None


async def test_async(server: str) -> None:
    async with AsyncOpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as client:
        reply: Any = await client.chat.completions.create(model="tiny", messages=HI, max_tokens=8, seed=1)
        stream: Any = await client.chat.completions.create(model="tiny", messages=HI, max_tokens=8, seed=1, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == reply.choices[0].message.content


def test_logprobs(openai: OpenAI) -> None:
    reply = ask(openai, logprobs=True, top_logprobs=2, temperature=0)
    tokens = reply.choices[0].logprobs.content
    assert len(tokens) == reply.usage.completion_tokens
    for one in tokens:  # a part of a character is shown as its bytes
        assert one.token in (bytes(one.bytes).decode(errors="replace"), "".join(f"\\x{byte:02x}" for byte in one.bytes))
    assert all(one.top_logprobs[0].logprob == one.logprob and len(one.top_logprobs) == 2 for one in tokens)
    streamed = [
        one
        for chunk in ask(openai, logprobs=True, top_logprobs=2, temperature=0, stream=True)
        if chunk.choices[0].logprobs
        for one in chunk.choices[0].logprobs.content
    ]
    assert [one.token for one in streamed] == [one.token for one in tokens]


def test_bias_and_stop(openai: OpenAI) -> None:
    forced = ask(openai, logit_bias={"70": 100}, temperature=0).choices[0].message.content
    assert len(set(forced)) == 1 and len(forced) == 12
    stopped = ask(openai, logit_bias={"70": 100}, temperature=0, stop=[forced[0] * 3]).choices[0]
    assert (stopped.message.content, stopped.finish_reason) == ("", "stop")


def test_json(openai: OpenAI) -> None:
    schema = {"type": "object", "properties": {"sky": {"enum": ["red"]}}, "required": ["sky"], "additionalProperties": False}
    given = {"type": "json_schema", "json_schema": {"name": "sky", "schema": schema}}
    reply = ask(openai, response_format=given, max_tokens=60).choices[0]
    assert json.loads(reply.message.content) == {"sky": "red"} and reply.finish_reason == "stop"
    assert ask(openai, response_format={"type": "json_object"}, max_tokens=30).choices[0].message.content.startswith("{")


def test_contents_in_parts_and_unknown_fields(openai: OpenAI) -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    assert ask(openai, parts, extra_body={"colour": 7}, user="ann").choices[0].message == ask(openai).choices[0].message


@pytest.mark.parametrize("stream", [False, True])
def test_a_named_tool_is_called(openai: OpenAI, stream: bool) -> None:
    choice = {"type": "function", "function": {"name": "weather"}}
    given: dict[str, Any] = {"tools": [WEATHER, TIME], "tool_choice": choice, "max_tokens": 60}
    if stream:
        calls = [call for chunk in ask(openai, **given, stream=True) for call in chunk.choices[0].delta.tool_calls or ()]
    else:
        reply = ask(openai, **given).choices[0]
        assert reply.message.content is None and reply.finish_reason == "stop"
        calls = reply.message.tool_calls
    assert [call.function.name for call in calls] == ["weather"] and calls[0].id.startswith("call_")
    assert json.loads(calls[0].function.arguments)["sky"] in ("red", "blue")


@pytest.mark.parametrize("stream", [False, True])
def test_one_of_the_tools_has_to_be_called(openai: OpenAI, stream: bool) -> None:
    given: dict[str, Any] = {"tools": [WEATHER, TIME], "tool_choice": "required", "max_tokens": 70}
    if stream:
        chunks = list(ask(openai, **given, stream=True))
        calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
        assert not any(chunk.choices[0].delta.content for chunk in chunks)
        assert chunks[-1].choices[0].finish_reason == "tool_calls"
    else:
        reply = ask(openai, **given).choices[0]
        assert reply.finish_reason == "tool_calls"
        calls = reply.message.tool_calls
    (call,) = calls
    arguments = json.loads(call.function.arguments)
    assert arguments == {} if call.function.name == "clock" else arguments["sky"] in ("red", "blue")


def test_a_conversation_with_a_tools_result(openai: OpenAI) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"sky": "red"}'}}
    said = [
        *HI, {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "it rains"},
    ]  # fmt: skip
    reply = ask(openai, said, tools=[TIME])
    assert reply.usage.prompt_tokens > 200  # the functions are described, and the call and its result are in it


def test_calls_in_a_free_answer() -> None:
    tools = Tools([Tool(**WEATHER)], "auto")
    for text, content, names in [
        ("It is red.", "It is red.", []),
        ('Wait. <tool_call>{"name": "weather", "arguments": {"sky": "red"}}</tool_call>', "Wait. ", ["weather"]),
        ('{"name": "weather", "parameters": {"sky": "red"}}', "", ["weather"]),
        ('{"name": "other", "parameters": {}}', '{"name": "other", "parameters": {}}', []),
        ("a <tool_call> b", "a <tool_call> b", []),
    ]:
        said = ToolCallParser(tools)
        told = "".join(said.push(letter) for letter in text)
        rest, calls = said.end()
        assert (told + rest, [call["function"]["name"] for call in calls]) == (content, names), text
        assert (tools.read(text)[0] or "") == content


@pytest.mark.parametrize(
    ("more", "param", "told"),
    [
        ({"messages": []}, "messages", "at least 1 item"),
        ({"temperature": "hot"}, "temperature", "valid number"),
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "messages[0].role", "Input should be"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, None, "there is no message to answer"),
        ({"logit_bias": {"x": 1}}, None, "logit_bias names token"),
        ({"logit_bias": {"9999": 1}}, None, "logit_bias names token 9999"),
        ({"tools": [WEATHER], "tool_choice": {**WEATHER, "function": {"name": "wether"}}}, None, 'did you mean "weather"'),
        ({"tool_choice": "required"}, None, "there are no tools"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "no"}}}}, None, "JSON schema"),
    ],
)  # fmt: skip
def test_what_is_refused(openai: OpenAI, more: dict[str, Any], param: str | None, told: str) -> None:
    with pytest.raises(sdk.BadRequestError) as caught:
        ask(openai, **more)
    assert told in caught.value.message and caught.value.param == param
    assert caught.value.type == "invalid_request_error"


def test_a_conversation_that_is_too_long(openai: OpenAI) -> None:
    for stream in (False, True):
        with pytest.raises(sdk.BadRequestError) as caught:
            ask(openai, [{"role": "user", "content": "x" * 600}], stream=stream)
        assert caught.value.code == "context_length_exceeded" and "the model reads 512" in caught.value.message


def test_messages_that_peers_take(openai: OpenAI, served: Runtime) -> None:
    for content in ("", None):
        between = [*HI, {"role": "assistant", "content": content}, {"role": "user", "content": "more"}]
        assert ask(openai, between).choices[0].message.content is not None
    going_on = [*HI, {"role": "assistant", "content": "1. "}]
    more = {"continue_final_message": True, "add_generation_prompt": False}
    reply = ask(openai, going_on, extra_body=more)
    alone = Chat(served)(going_on, continue_final_message=True, max_tokens=12, seed=3, temperature=1.0, top_p=1.0)
    assert reply.choices[0].message.content == alone.text and alone.prompt == "<|user|>hi<|assistant|>1. "
    assert alone.messages[-1] == {"role": "assistant", "content": "1. " + alone.text}


def test_variables_of_the_template(openai: OpenAI, served: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    model = served.text().model
    switch = "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{{ effort }}"
    monkeypatch.setattr(model, "template", ChatTemplate(model.template.text + switch, model.template.tokens))
    plain = ask(openai).usage.prompt_tokens
    off = ask(openai, extra_body={"chat_template_kwargs": {"enable_thinking": False, "effort": "x"}})
    assert off.usage.prompt_tokens == plain + len("<think>\n\n</think>\n\nx")
    assert Chat(served)("hi", think=False, max_tokens=1).prompt.endswith("</think>\n\n")


def test_reasoning_is_apart(openai: OpenAI, served: Runtime, say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = served.text().model
    monkeypatch.setattr(model, "template", ChatTemplate(model.template.text + "{# <think> #}", model.template.tokens))
    say("<think>\nHm.\n</think>\n\nYes.")
    message = ask(openai, max_tokens=64).choices[0].message
    assert (message.content, message.reasoning_content) == ("Yes.", "Hm.")
    deltas = [chunk.choices[0].delta for chunk in ask(openai, max_tokens=64, stream=True)]
    assert "".join(delta.content or "" for delta in deltas).strip() == "Yes."
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "Hm."
    reply = Chat(served)("hi", max_tokens=64)
    assert reply.messages[-1] == {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"chat_template_kwargs": {"enable_thinking": False}}, "no variable 'enable_thinking' to set; it has none"),
        ({"reasoning_effort": "low"}, "no variable 'reasoning_effort'"),
        ({"continue_final_message": True}, "the last message is not the assistant's"),
        ({"continue_final_message": True, "add_generation_prompt": True}, "a reply either begins or goes on"),
    ],
)
def test_what_a_template_cannot_do(openai: OpenAI, more: dict[str, Any], told: str) -> None:
    with pytest.raises(sdk.BadRequestError, match=told):
        ask(openai, extra_body=more)
