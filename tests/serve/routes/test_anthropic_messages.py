"""/v1/messages through Anthropic's own client."""

from collections.abc import Iterator
from typing import Any

import anthropic as sdk
import pytest
from anthropic import Anthropic

from mmgen.pipelines.chat import Chat
from mmgen.runtime import Runtime

HI: list[Any] = [{"role": "user", "content": "hi"}]
WEATHER: Any = {
    "name": "weather",
    "input_schema": {
        "type": "object", "properties": {"sky": {"enum": ["red", "blue"]}}, "required": ["sky"], "additionalProperties": False
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def anthropic(server: str) -> Iterator[Anthropic]:
    with Anthropic(base_url=server, api_key="none", max_retries=0, timeout=60) as client:
        yield client


def ask(client: Anthropic, messages: Any = HI, **more: Any) -> Any:
    given = {"model": "tiny", "max_tokens": 12, "messages": messages, "extra_body": {"seed": 3}, **more}
    return client.messages.create(**given)


def test_whole_and_streamed_say_the_same(anthropic: Anthropic, served: Runtime) -> None:
    alone = Chat(served)("hi", max_tokens=12, seed=3, temperature=1.0, top_p=1.0)
    reply = ask(anthropic)
    assert reply.content[0].text == alone.text and reply.stop_reason in ("end_turn", "max_tokens")
    assert reply.usage.input_tokens + reply.usage.cache_read_input_tokens == alone.usage.prompt
    with anthropic.messages.stream(model="tiny", max_tokens=12, messages=HI, extra_body={"seed": 3}) as stream:
        assert "".join(stream.text_stream) == alone.text
        final = stream.get_final_message()
    assert final.usage.output_tokens == alone.usage.written and final.stop_reason == reply.stop_reason
    assert anthropic.messages.count_tokens(model="tiny", messages=HI).input_tokens == alone.usage.prompt


@pytest.mark.parametrize("stream", [False, True])
def test_the_stop_sequence_is_told(anthropic: Anthropic, served: Runtime, stream: bool) -> None:
    text = Chat(served)("hi", max_tokens=12, seed=3, temperature=1.0, top_p=1.0).text
    more: dict[str, Any] = {"stop_sequences": ["never", text[5:7]]}
    if stream:
        given: dict[str, Any] = {"model": "tiny", "max_tokens": 12, "messages": HI, "extra_body": {"seed": 3}, **more}
        with anthropic.messages.stream(**given) as events:
            reply = events.get_final_message()
    else:
        reply = ask(anthropic, **more)
    assert (reply.stop_reason, reply.stop_sequence) == ("stop_sequence", text[5:7])
    assert reply.content[0].text == text[: text.find(text[5:7])]


def test_what_is_begun_goes_on(anthropic: Anthropic, served: Runtime) -> None:
    begun = [*HI, {"role": "assistant", "content": "1. "}]
    alone = Chat(served)(begun, continue_final_message=True, max_tokens=12, seed=3, temperature=1.0, top_p=1.0)
    assert ask(anthropic, begun).content[0].text == alone.text


def test_a_tool_is_used_and_answers(anthropic: Anthropic) -> None:
    choice = {"type": "tool", "name": "weather"}
    reply = ask(anthropic, tools=[WEATHER], tool_choice=choice, max_tokens=60)
    (use,) = reply.content
    assert (reply.stop_reason, use.name) == ("tool_use", "weather") and use.input["sky"] in ("red", "blue")
    events = list(ask(anthropic, tools=[WEATHER], tool_choice=choice, max_tokens=60, stream=True))
    assert [one.delta.type for one in events if one.type == "content_block_delta"] == ["input_json_delta"]
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "it rains"}]}
    more = ask(anthropic, [*HI, {"role": "assistant", "content": reply.content}, result], tools=[WEATHER])
    assert more.usage.output_tokens > 0


def test_errors_are_anthropics(anthropic: Anthropic) -> None:
    with pytest.raises(sdk.NotFoundError) as missing:
        ask(anthropic, model="none")
    assert missing.value.body["error"]["type"] == "not_found_error"  # type: ignore[index,call-overload]
    with pytest.raises(sdk.BadRequestError, match="the model reads 512"):
        ask(anthropic, [{"role": "user", "content": "x" * 600}])
    with pytest.raises(sdk.BadRequestError, match="no switch for thinking"):
        ask(anthropic, thinking={"type": "enabled", "budget_tokens": 1024})
    assert ask(anthropic, thinking={"type": "disabled"}).content
