"""Functions that a language model may call, in words, and the calls in what it wrote. Knows texts; calls no function.

Models whose template knows no tools are asked to write calls as Hermes and Qwen do,
`<tool_call>{"name": ..., "arguments": {...}}</tool_call>`; those of others are read in the form of their family.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

OPEN, CLOSE = "<tool_call>", "</tool_call>"
DEEPSEEK, SEPARATOR = "<\uff5ctool\u2581call\u2581begin\uff5c>", "<\uff5ctool\u2581sep\uff5c>"
FORMATS: tuple[tuple[str, re.Pattern[str] | None], ...] = (
    (OPEN, None),
    (OPEN, re.compile(r"<function=(?P<name>[\w.-]+)>(?P<tagged>.*?)</function>", re.DOTALL)),  # Qwen Coder
    ("<function=", re.compile(r"(?P<name>[\w.-]+)>\s*(?=\{)")),  # Llama 3.1, of a user's own functions
    ("<|python_tag|>", None),  # Llama 3
    ("[TOOL_CALLS]", None),  # Mistral: a list of objects, or one
    ("[TOOL_CALLS]", re.compile(r"(?P<name>[\w.-]+)(?:\[CALL_ID\]\w+)?(?:\[ARGS\])?\s*(?=\{)")),  # Mistral since 2025
    (DEEPSEEK, re.compile(rf"function{SEPARATOR}(?P<name>[\w.-]+)\s*```json\s*")),  # V3
    (DEEPSEEK, re.compile(rf"(?P<name>[\w.-]+){SEPARATOR}\s*(?=\{{)")),  # V3.1
    ("<|channel|>", re.compile(r"\w+ to=(?P<name>[\w.-]+)[^{]*?<\|message\|>\s*")),  # gpt-oss
)
"""How a call begins, and what its name stands in before the arguments; None: the name is in the JSON."""
OPENINGS = (*dict.fromkeys(opening for opening, _ in FORMATS), DEEPSEEK.replace("call", "calls"))
CONTROL = (*OPENINGS, CLOSE, "[CALL_ID]", "[ARGS]", SEPARATOR, DEEPSEEK.replace("begin", "end"))
"""Markers of calls, which may be control tokens of a model."""
TOLD = (
    "You can call functions. To call one, answer with\n"
    f'{OPEN}{{"name": NAME, "arguments": ARGUMENTS}}{CLOSE}\n'
    "and nothing else; ARGUMENTS is a JSON object that follows the function's parameters. The functions:"
)


def in_words(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The conversation for a model whose template knows no tools: system, user and assistant alone, each with a content."""
    said = [_plain(message) for message in messages]
    if not tools:
        return said
    told = "\n".join([TOLD, *(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)])
    if said[0]["role"] == "system":
        return [{"role": "system", "content": f"{said[0]['content']}\n\n{told}"}, *said[1:]]
    return [{"role": "system", "content": f"{told}\n"}, *said]


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content") or ""
    if not isinstance(content, str):  # parts, some of them images
        return {"role": message["role"], "content": content}
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>{content}</tool_response>"}
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    said = [f"{OPEN}{json.dumps({key: one[key] for key in ('name', 'arguments')}, ensure_ascii=False)}{CLOSE}" for one in calls]
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

    Calls are written as the families do: Hermes and Qwen, Qwen Coder, Llama 3, Mistral, DeepSeek and gpt-oss. What is no call
    of one of these names is text.
    """
    starts = [at for mark in OPENINGS if (at := text.find(mark)) >= 0]
    if not starts:
        one = _call(text, len(text) - len(text.lstrip()), names)
        return ("", [one]) if one else (text, [])
    calls = _calls(text[min(starts) :], names)
    return (text[: min(starts)], calls) if calls else (text, [])


def _calls(text: str, names: Sequence[str]) -> list[tuple[str, Any]]:
    """All calls of a text that begins with one of the openings, in their order."""
    calls: list[tuple[int, tuple[str, Any]]] = []
    for opening, pattern in FORMATS:
        for part in re.finditer(re.escape(opening) + r"\s*", text):
            if pattern is None:  # the call is one JSON object, or a list of them
                calls += [(part.start(), one) for one in _objects(text, part.end(), names)]
            elif (said := pattern.match(text, part.end())) and said["name"].removeprefix("functions.") in names:
                arguments = _tagged(said["tagged"]) if "tagged" in pattern.groupindex else _json(text, said.end())
                if isinstance(arguments, dict):
                    calls.append((part.start(), (said["name"].removeprefix("functions."), arguments)))
    return [call for _, call in sorted(calls, key=lambda call: call[0])]


def _objects(text: str, start: int, names: Sequence[str]) -> list[tuple[str, Any]]:
    if text[start : start + 1] != "[":
        one = _call(text, start, names)
        return [one] if one else []
    listed = _json(text, start)
    some = [_named(value, names) for value in listed] if isinstance(listed, list) else []
    return [one for one in some if one]


def _call(text: str, start: int, names: Sequence[str]) -> tuple[str, Any] | None:
    return _named(_json(text, start), names) if text[start : start + 1] == "{" else None


def _named(value: Any, names: Sequence[str]) -> tuple[str, Any] | None:
    if not isinstance(value, dict) or value.get("name") not in names:
        return None
    arguments = value.get("arguments", value.get("parameters"))  # Llama says parameters
    return (value["name"], arguments) if isinstance(arguments, dict) else None


def _json(text: str, start: int) -> Any:
    """The value that stands there; None for anything else, such as NaN and numbers that JSON cannot say again."""
    try:
        return _said_again(json.JSONDecoder().raw_decode(text, start)[0])
    except (ValueError, RecursionError):
        return None


def _said_again(value: Any) -> Any:
    """Raises ValueError for what is no JSON: NaN, and infinity as in 1e999."""
    json.dumps(value, allow_nan=False)
    return value


def _whole_json(text: str) -> Any:
    """The value that a text is altogether; None for anything else."""
    try:
        return _said_again(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _tagged(text: str) -> dict[str, Any]:
    """Qwen Coder's arguments: <parameter=NAME>VALUE</parameter>. A value that is JSON but no text counts as such."""
    arguments = {}
    for said in re.finditer(r"<parameter=([^>\s]+)>\n?(.*?)\n?</parameter>", text, re.DOTALL):
        value = _whole_json(said[2])
        arguments[said[1]] = said[2] if value is None or isinstance(value, str) else value
    return arguments
