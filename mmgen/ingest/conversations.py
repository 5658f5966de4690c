"""Conversations in the shapes that chat programs and data sets write: who said what, in order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Turn = tuple[str, str]
"""Who, and what."""

LISTS = ("messages", "conversation", "conversations", "chat_messages", "dialog", "dialogue", "turns", "mapping")
WHO = ("role", "from", "sender", "author", "speaker", "user", "name")
WHAT = ("content", "value", "text", "message", "body", "parts")


def turns(value: Mapping[str, Any]) -> tuple[str, list[Turn]] | None:
    """The field of an object that holds a conversation, and its turns; None where there is none.

    Lists of `{"role", "content"}` (OpenAI), `{"from", "value"}` (ShareGPT), `{"sender", "text"}` (Claude) and the like, and
    ChatGPT's `mapping` of nodes by id, whose branches follow one another. Pictures and other parts without text are named.
    """
    for key in LISTS:
        inside = value.get(key)
        if key == "mapping" and isinstance(inside, dict):
            said = [node.get("message") for node in _in_order(inside)]
            messages = [message for message in said if isinstance(message, dict)]
        elif isinstance(inside, list):
            messages = inside
        else:
            continue
        if messages and all(isinstance(message, dict) and _who(message) and _says(message) for message in messages):
            return key, [(_who(message), text) for message in messages if (text := _text(message))]
    return None


def _in_order(nodes: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The nodes of a tree, each after its parent; those that no root reaches come last."""
    known = {name: node for name, node in nodes.items() if isinstance(node, dict)}
    children: dict[Any, list[str]] = {}
    for name, node in known.items():
        parent = node.get("parent")
        children.setdefault(parent if isinstance(parent, str) and parent in known else None, []).append(name)
    seen: set[str] = set()
    for first in [*children.get(None, []), *known]:
        waiting = [first]
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                yield known[name]
                waiting += reversed(children.get(name, []))


def _who(message: Mapping[str, Any]) -> str:
    for key in WHO:
        who = message.get(key)
        who = (who.get("role") or who.get("name")) if isinstance(who, dict) else who
        if isinstance(who, str) and who:
            return who
    return ""


def _says(message: Mapping[str, Any]) -> bool:
    return any(key in message for key in (*WHAT, "tool_calls"))


def _text(message: Mapping[str, Any]) -> str:
    said = (_flat(message[key]) for key in WHAT if key in message)
    return next(filter(None, said), "") or "\n".join(map(_call, message.get("tool_calls") or []))


def _flat(content: Any) -> str:
    """The text of a content: a string, a list of parts, or an object that holds either."""
    if isinstance(content, list):
        return "\n".join(filter(None, map(_flat, content)))
    if isinstance(content, dict):
        text = next(filter(None, (_flat(content[key]) for key in sorted(WHAT, key="text".__ne__) if key in content)), "")
        kind = content.get("type") or content.get("content_type") or ""
        return text or (f"({kind})" if kind and kind != "text" else "")
    return "" if content is None else str(content).strip()


def _call(call: Any) -> str:
    function = call.get("function", call) if isinstance(call, dict) else call
    return "calls " + (function if isinstance(function, str) else json.dumps(function, ensure_ascii=False))
