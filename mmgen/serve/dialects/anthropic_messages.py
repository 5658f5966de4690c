"""Anthropic's Messages API: its content blocks and tools as a chat's, and a turn as its message and events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from mmgen.errors import BadRequest
from mmgen.serve.dialects.turn import ChatTurn, Piece
from mmgen.serve.pipeline_calls import ServerEvent

REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def messages(system: str | Sequence[Mapping[str, Any]] | None, given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A chat's messages. Raises BadRequest for blocks that this server cannot read."""
    found: list[dict[str, Any]] = []
    if system:
        text = system if isinstance(system, str) else "\n".join(str(block.get("text", "")) for block in system)
        found.append({"role": "system", "content": text})
    for place, message in enumerate(given):
        role, content, where = message.get("role"), message.get("content"), f"messages[{place}].content"
        if role not in ("user", "assistant", "system"):
            raise BadRequest(f"messages[{place}].role is {role!r}; it can be user or assistant")
        if isinstance(content, str):
            found.append({"role": role, "content": content})
        elif isinstance(content, list):
            read = _assistant if role == "assistant" else _user
            found += read([_block(block, f"{where}[{number}]") for number, block in enumerate(content)], where)
        else:
            raise BadRequest(f"{where} is neither a text nor a list of blocks")
    return found


def _block(block: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(block, Mapping) or not isinstance(block.get("type"), str):
        raise BadRequest(f"{where} is no block; give an object with a type")
    return block


def _user(blocks: Sequence[Mapping[str, Any]], where: str) -> list[dict[str, Any]]:
    """Results of tools are messages of their own, before what else is said."""
    results = [
        {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": _result(block, where)}
        for block in blocks
        if block["type"] == "tool_result"
    ]
    rest = [_part(block, where) for block in blocks if block["type"] != "tool_result"]
    return [*results, *([{"role": "user", "content": rest}] if rest else [])]


def _result(block: Mapping[str, Any], where: str) -> Any:
    given = block.get("content") or ""
    if not isinstance(given, str | list):
        raise BadRequest(f"{where} has a tool_result whose content is neither a text nor a list of blocks")
    content = given if isinstance(given, str) else [_part(_block(one, where), where) for one in given]
    if not block.get("is_error"):
        return content
    return f"Error: {content}" if isinstance(content, str) else [{"type": "text", "text": "Error:"}, *content]


def _part(block: Mapping[str, Any], where: str) -> dict[str, Any]:
    if block["type"] == "text":
        return {"type": "text", "text": block.get("text")}
    source = block.get("source")
    if block["type"] != "image" or not isinstance(source, Mapping):
        raise BadRequest(
            f"{where} has a block of type {block['type']!r}; this server reads text, image, tool_use and tool_result"
        )
    url = source.get("url") if source.get("type") == "url" else f"data:{source.get('media_type')};base64,{source.get('data')}"
    return {"type": "image_url", "image_url": {"url": url}}


def _assistant(blocks: Sequence[Mapping[str, Any]], where: str) -> list[dict[str, Any]]:
    said: dict[str, Any] = {"role": "assistant"}
    texts: list[str] = []
    thoughts: list[str] = []
    for block in blocks:
        if block["type"] == "text":
            texts.append(str(block.get("text", "")))
        elif block["type"] == "thinking":
            thoughts.append(str(block.get("thinking", "")))
        elif block["type"] == "tool_use":
            call = {"name": block.get("name"), "arguments": json.dumps(block.get("input") or {}, ensure_ascii=False)}
            said.setdefault("tool_calls", []).append({"id": block.get("id"), "type": "function", "function": call})
        elif block["type"] != "redacted_thinking":
            raise BadRequest(f"{where} has a block of type {block['type']!r}, which no answer of this server has; leave it out")
    thought = {"reasoning_content": "".join(thoughts)} if thoughts else {}
    return [{**said, "content": "".join(texts), **thought}]


def tools(given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A chat's. Raises BadRequest for those that run elsewhere."""
    found = []
    for place, tool in enumerate(given):
        if tool.get("type") not in (None, "custom"):
            raise BadRequest(
                f"tools[{place}] is of type {tool.get('type')!r}; this server has custom ones, with an input_schema"
            )
        said = {"name": tool.get("name"), "description": tool.get("description"), "parameters": tool.get("input_schema")}
        found.append({"type": "function", "function": {key: value for key, value in said.items() if value is not None}})
    return found


def choice(given: Mapping[str, Any] | None) -> Any:
    """A chat's tool_choice. Raises BadRequest for one that is none."""
    if given is None:
        return None
    if given.get("type") == "tool":
        return {"type": "function", "function": {"name": given.get("name")}}
    kind = given.get("type")
    if not isinstance(kind, str) or kind not in CHOICES:
        raise BadRequest(f"tool_choice is of type {kind!r}; it can be auto, any, tool or none")
    return CHOICES[kind]


class MessageEvents:
    """One message as it is written."""

    def __init__(self, id: str, model: str) -> None:
        self.head = {"id": f"msg_{id}", "type": "message", "role": "assistant", "model": model}
        self.turn = ChatTurn()
        self.content: list[dict[str, Any]] = []
        self._open = ""  # the type of the block that is being written

    def whole(self) -> dict[str, Any]:
        """At the turn's end."""
        return {**self.head, "content": self.content, **self.end(), "usage": self.usage()}

    def end(self) -> dict[str, str | None]:
        """Why it ended."""
        stop = None if self.turn.calls else self.turn.stop
        return {"stop_reason": "stop_sequence" if stop else self.reason, "stop_sequence": stop}

    @property
    def reason(self) -> str:
        return "tool_use" if self.turn.calls else REASONS.get(self.turn.finish, "end_turn")

    def usage(self) -> dict[str, int]:
        """Tokens that were known from earlier calls are not among the input's, as Anthropic counts."""
        used = self.turn.usage
        cached = used["prompt_tokens_details"]["cached_tokens"]
        return {
            "input_tokens": used["prompt_tokens"] - cached,
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": 0,
            "output_tokens": used["completion_tokens"],
        }

    def events(self, pieces: Iterable[Piece], read: int) -> Iterator[ServerEvent]:
        """`read`: the prompt's tokens, as far as they are known before its end."""
        usage = {"input_tokens": read, "output_tokens": 0}
        start: dict[str, Any] = {**self.head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        yield _event("message_start", message=start)
        for piece in pieces:
            yield from self._told(piece)
        yield from self._close()
        yield _event("message_delta", delta=self.end(), usage=self.usage())
        yield _event("message_stop")

    def _told(self, piece: Piece) -> Iterator[ServerEvent]:
        if piece.kind == "call":
            yield from self._close()
            made = {"type": "tool_use", "id": piece.call["id"], "name": piece.call["name"], "input": {}}
            yield from self._begin(made)
            yield self._delta({"type": "input_json_delta", "partial_json": piece.call["arguments"]})
            self.content[-1] = {**made, "input": _object(piece.call["arguments"])}
            yield from self._close()
            return
        kind = "thinking" if piece.kind == "reasoning" else "text"
        if self._open != kind and piece.text:
            yield from self._close()
            yield from self._begin({"type": kind, kind: "", **({"signature": ""} if kind == "thinking" else {})})
        if piece.text:
            self.content[-1][kind] += piece.text
            yield self._delta({"type": f"{kind}_delta", kind: piece.text})

    def _begin(self, block: dict[str, Any]) -> Iterator[ServerEvent]:
        self.content.append(block)
        self._open = block["type"]
        yield _event("content_block_start", index=len(self.content) - 1, content_block=dict(block))

    def _delta(self, delta: Mapping[str, Any]) -> ServerEvent:
        return _event("content_block_delta", index=len(self.content) - 1, delta=delta)

    def _close(self) -> Iterator[ServerEvent]:
        if self._open:
            self._open = ""
            yield _event("content_block_stop", index=len(self.content) - 1)


def _object(text: str) -> Any:
    """A call's arguments; a text that was cut in the middle stays one."""
    try:
        return orjson.loads(text or "{}")  # nothing that an answer cannot hold: no NaN, no half of a surrogate pair
    except ValueError:
        return {"arguments": text}


def _event(kind: str, **said: Any) -> ServerEvent:
    return ServerEvent(kind, {"type": kind, **said})
