"""/v1/responses: what its input items and tools are in a chat's messages and tools."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mmgen.errors import BadRequest

PARTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
"""Content parts that are text, with the field that holds it."""


def messages(given: str | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The chat messages of an input. Raises BadRequest for items that this server cannot read."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    found: list[dict[str, Any]] = []
    thought = ""
    for place, item in enumerate(given):
        kind = item.get("type", "message" if "role" in item else None)
        if kind == "message":
            message = {"role": item.get("role"), "content": content(item.get("content"), f"input[{place}].content")}
        elif kind == "function_call":
            call = {"name": item.get("name"), "arguments": item.get("arguments")}
            message = {"role": "assistant", "tool_calls": [{"id": item.get("call_id"), "type": "function", "function": call}]}
        elif kind == "function_call_output":
            told = item.get("output")
            told = told if isinstance(told, str) else content(told, f"input[{place}].output")
            message = {"role": "tool", "tool_call_id": item.get("call_id"), "content": told}
        elif kind == "reasoning":
            parts = item.get("content")
            said = [str(part.get("text", "")) for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
            thought += "".join(said)
            continue
        else:
            raise BadRequest(
                f"input[{place}] is of type {kind!r}; this server reads messages, function calls, their outputs and reasoning"
            )
        if thought and message["role"] == "assistant":
            message["reasoning_content"], thought = thought, ""
        _add(found, message)
    return found


def _add(found: list[dict[str, Any]], message: dict[str, Any]) -> None:
    """Text and calls of one turn are items of their own here, and one message of a chat."""
    if found and found[-1]["role"] == message["role"] == "assistant" and "tool_calls" in message:
        found[-1].setdefault("tool_calls", []).extend(message["tool_calls"])
    else:
        found.append(message)


def content(given: Any, where: str) -> Any:
    """A text, or the parts of a chat's message."""
    if given is None or isinstance(given, str):
        return given
    if not isinstance(given, list):
        raise BadRequest(f"{where} is neither a text nor a list of parts")
    parts = [_part(part, f"{where}[{place}]") for place, part in enumerate(given)]
    return "".join(part["text"] for part in parts) if all(part["type"] == "text" for part in parts) else parts


def _part(part: Any, where: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if isinstance(kind, str) and kind in PARTS:
        if not isinstance(text := part.get(PARTS[kind]), str):
            raise BadRequest(f"{where} is of type {kind!r} and has no {PARTS[kind]}; give it as a text")
        return {"type": "text", "text": text}
    if kind == "input_image":
        if not isinstance(part.get("image_url"), str):
            raise BadRequest(f"{where} has no image_url; send the image as a data: URL, files are not kept here")
        return {"type": "image_url", "image_url": {"url": part["image_url"]}}
    raise BadRequest(f"{where} is of type {kind!r}; this server reads input_text, output_text and input_image")


def tools(given: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], str | None]:
    """Functions as a chat has them, and the store that file_search names. Raises BadRequest for tools that run elsewhere."""
    functions, store = [], None
    for place, tool in enumerate(given):
        kind = tool.get("type")
        if kind == "function":
            said = {name: tool[name] for name in ("name", "description", "parameters") if tool.get(name) is not None}
            functions.append({"type": "function", "function": said})
        elif kind == "file_search":
            names = tool.get("vector_store_ids")
            if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
                raise BadRequest(f"tools[{place}].vector_store_ids names {names!r}; give the name of one store")
            store = names[0]
        else:
            raise BadRequest(f"tools[{place}] is of type {kind!r}; this server has function and file_search")
    if store is not None and functions:
        raise BadRequest("tools has functions beside file_search; a store's answer calls none, leave one of them out")
    return functions, store


def choice(given: Any) -> Any:
    """A chat's tool_choice. Raises BadRequest for one that is none."""
    if given is None or given in ("none", "auto", "required"):
        return given
    if isinstance(given, Mapping) and given.get("type") == "function":
        return {"type": "function", "function": {"name": given.get("name")}}
    raise BadRequest(f"tool_choice is {json.dumps(given)[:100]}; it can be none, auto, required or a function's name")


def response_format(text: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A chat's response_format of what `text.format` says."""
    said = (text or {}).get("format")
    if not isinstance(said, Mapping):
        return None
    if said.get("type") != "json_schema":
        return {"type": said.get("type")}
    return {"type": "json_schema", "json_schema": {"schema": said.get("schema") or {}}}
