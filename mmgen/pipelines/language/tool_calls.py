"""Functions that a language model may call, in words, and the calls in what it wrote. Knows texts; calls no function.

How calls are written: as Hermes and Qwen do, `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

OPEN, CLOSE = "<tool_call>", "</tool_call>"
TOLD = (
    "You can call functions. To call one, answer with\n"
    f'{OPEN}{{"name": NAME, "arguments": ARGUMENTS}}{CLOSE}\n'
    "and nothing else; ARGUMENTS is a JSON object that follows the function's parameters. The functions:"
)


def in_words(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The conversation for a model whose template knows no tools: system, user and assistant alone, each with a content."""
    said = [_plain(message) for message in messages]
    if not tools:
        return said
    told = "\n".join([TOLD, *(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)])
    if said[0]["role"] == "system":
        return [{"role": "system", "content": f"{said[0]['content']}\n\n{told}"}, *said[1:]]
    return [{"role": "system", "content": f"{told}\n"}, *said]


def _plain(message: Mapping[str, Any]) -> dict[str, str]:
    content = message.get("content") or ""
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>{content}</tool_response>"}
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    said = [f"{OPEN}{json.dumps({key: one[key] for key in ('name', 'arguments')})}{CLOSE}" for one in calls]
    return {"role": message["role"], "content": "\n".join(filter(None, [content, *said]))}


def schema(tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a call of one of them looks like, as a JSON schema."""
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": tool["function"]["name"]}, "arguments": parameters(tool)},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    return {"anyOf": calls}


def parameters(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON schema of its arguments; without one it takes none."""
    given: Mapping[str, Any] | None = tool["function"].get("parameters")
    return given or {"type": "object", "properties": {}, "additionalProperties": False}


def found(text: str, names: Sequence[str]) -> tuple[str, list[tuple[str, Any]]]:
    """What stands before the first call, and the calls: name and arguments. A text that is JSON altogether may be one.

    What is no call of one of these names is text.
    """
    calls, at = list[tuple[str, Any]](), text.find(OPEN)
    if at < 0:
        one = _call(text, len(text) - len(text.lstrip()), names)
        return ("", [one]) if one else (text, [])
    before = text[:at]
    while at >= 0:
        start = at + len(OPEN)
        start += len(text[start:]) - len(text[start:].lstrip())
        if one := _call(text, start, names):
            calls.append(one)
        at = text.find(OPEN, start)
    return (before, calls) if calls else (text, [])


def _call(text: str, start: int, names: Sequence[str]) -> tuple[str, Any] | None:
    if text[start : start + 1] != "{":
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    arguments = value.get("arguments", value.get("parameters"))  # Llama says parameters
    return (value["name"], arguments) if value.get("name") in names and isinstance(arguments, dict) else None
