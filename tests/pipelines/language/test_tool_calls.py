"""Functions in words, for models whose template knows none."""

from pathlib import Path
from typing import Any

import pytest

from mmgen.models.lm.chat_template import ChatTemplate
from mmgen.pipelines.chat import Chat, conversation, written
from mmgen.pipelines.language import tool_calls
from mmgen.runtime import Runtime

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": {"sky": "red"}}}
SAID: list[Any] = [
    {"role": "user", "content": "hi"}, {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "rain", "tool_call_id": "1"},
]  # fmt: skip


def test_in_words() -> None:
    assert tool_calls.in_words(SAID, ()) == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": '<tool_call>{"name": "weather", "arguments": {"sky": "red"}}</tool_call>'},
        {"role": "user", "content": "<tool_response>rain</tool_response>"},
    ]
    told = tool_calls.in_words([{"role": "system", "content": "Be kind."}, *SAID], [TOOL])
    assert told[0]["content"].startswith("Be kind.\n\nYou can call functions.") and '{"name": "weather"' in told[0]["content"]
    assert tool_calls.in_words(SAID, [TOOL])[0]["role"] == "system"


def test_a_template_that_knows_tools(writer: Runtime, monkeypatch: pytest.MonkeyPatch, tiny_draft: Path) -> None:
    client = writer.text()
    text = "{% for t in tools or [] %}[{{ t.function.name }}]{% endfor %}{% for m in messages %}{{ m.role }}{% endfor %}"
    monkeypatch.setattr(client.model, "template", ChatTemplate(text, {}))
    assert written(client, conversation(SAID), [TOOL]).text == "[weather]userassistanttool"
    assert "Assistant: <tool_call>" in written(writer.text(str(tiny_draft)), conversation(SAID), [TOOL]).text


def test_what_was_called() -> None:
    names = ["weather", "clock"]
    first = 'So: <tool_call>\n{"name": "weather", "arguments": {"a": "}"}}\n</tool_call>'
    assert tool_calls.found(first + '<tool_call>{"name": "clock", "arguments": {}}', names) == (
        "So: ",
        [("weather", {"a": "}"}), ("clock", {})],
    )
    for no_call in ("hi", '{"name": "other", "arguments": {}}', "<tool_call>{", '<tool_call>{"name": ["x"]}', "{" * 100_000):
        assert tool_calls.found(no_call, names) == (no_call, [])


def test_a_bias_and_tools_in_chat(writer: Runtime) -> None:
    reply = Chat(writer)("hi", max_tokens=6, temperature=0, logit_bias={70: 100}, tools=[TOOL])
    assert len(set(reply.text)) == 1 and "You can call functions." in reply.prompt


ARGUMENTS = '{"city": "上海", "days": 2}'
DEEPSEEK = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"


@pytest.mark.parametrize(
    "text",
    [
        f'<tool_call>\n{{"name": "weather", "arguments": {ARGUMENTS}}}\n</tool_call>',
        "<tool_call>\n<function=weather>\n<parameter=city>\n上海\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function></tool_call>",
        f"<function=weather>{ARGUMENTS}</function>",
        f'<|python_tag|>{{"name": "weather", "parameters": {ARGUMENTS}}}',
        f'{{"name": "weather", "parameters": {ARGUMENTS}}}',
        f'[TOOL_CALLS] [{{"name": "weather", "arguments": {ARGUMENTS}, "id": "VvvODy9mT"}}]',
        f"[TOOL_CALLS]weather[ARGS]{ARGUMENTS}",
        f"[TOOL_CALLS]weather[CALL_ID]VvvODy9mT[ARGS]{ARGUMENTS}",
        DEEPSEEK.format(f"function<｜tool▁sep｜>weather\n```json\n{ARGUMENTS}\n```"),
        DEEPSEEK.format(f"weather<｜tool▁sep｜>{ARGUMENTS}"),
        f"<|channel|>commentary to=functions.weather<|message|>{ARGUMENTS}",
    ],
)
def test_calls_as_the_families_write_them(text: str) -> None:
    said = {"city": "上海", "days": 2}
    assert tool_calls.found(text, ["weather"]) == ("", [("weather", said)])
    assert tool_calls.found(text, ["climate"]) == (text, [])
    if not text.startswith("{"):
        assert tool_calls.found("Let me look.\n" + text, ["weather"]) == ("Let me look.\n", [("weather", said)])


def test_several_calls_keep_their_order() -> None:
    text = '[TOOL_CALLS]a[ARGS]{"x": 1}[TOOL_CALLS]b[ARGS]{}'
    assert tool_calls.found(text, ["a", "b"]) == ("", [("a", {"x": 1}), ("b", {})])
    text = '[TOOL_CALLS][{"name": "a", "arguments": {}}, {"name": "c", "arguments": {}}, 7, {"name": "b", "arguments": {}}]'
    assert tool_calls.found(text, ["a", "b"]) == ("", [("a", {}), ("b", {})])
    half = '<tool_call>{"name": "a", "arguments": {"x": '
    assert tool_calls.found(half, ["a"]) == (half, [])


def test_what_was_called_stays_as_it_is() -> None:
    call = {"function": {"name": "weather", "arguments": {"city": "上海"}}}
    told = tool_calls.in_words([{"role": "assistant", "content": "", "tool_calls": [call]}], [])
    assert "上海" in told[0]["content"]
