"""Ollama's API: its messages, tools and options as a chat's, and a turn as the objects that it sends."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from mmgen.errors import BadRequest
from mmgen.serve.dialects.turn import ChatTurn, Piece

OPTIONS = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "min_p": "min_p", "seed": "seed", "stop": "stop",
    "repeat_penalty": "repetition_penalty", "presence_penalty": "presence_penalty", "frequency_penalty": "frequency_penalty",
}  # fmt: skip
"""Of ours by Ollama's names. How a model is run (num_ctx, num_gpu, ...) is the engine's business, and passed over."""
OTHERWISE = {"typical_p": 1.0, "tfs_z": 1.0, "mirostat": 0}
"""Options that would change the text and that chats do not have here, with the values at which they do nothing."""


def options(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """A chat's. Raises BadRequest for one that would be passed over and change the text."""
    given = given or {}
    for name, neutral in OTHERWISE.items():
        if given.get(name) not in (None, neutral):
            raise BadRequest(f"options.{name} is {given[name]!r}; this server has no such sampling, leave it out")
    found = {ours: given[name] for name, ours in OPTIONS.items() if given.get(name) is not None}
    most = given.get("num_predict")
    return found | ({"max_tokens": most} if isinstance(most, int) and most >= 0 else {})  # -1: as long as it takes


def messages(given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A chat's. Results of tools belong to the calls before them, in their order: here they have no ids."""
    found: list[dict[str, Any]] = []
    waiting: deque[str] = deque()
    for place, message in enumerate(given):
        role = message.get("role")
        said: dict[str, Any] = {"role": role, "content": message.get("content") or ""}
        if message.get("images"):
            said["content"] = _with_images(said["content"], message["images"], place)
        if message.get("thinking"):
            said["reasoning_content"] = message["thinking"]
        if listed := message.get("tool_calls"):
            if not isinstance(listed, list):
                raise BadRequest(f"messages[{place}].tool_calls is no list")
            waiting = deque(f"call_{place}_{number}" for number in range(len(listed)))
            calls = zip(waiting, listed, strict=True)
            said["tool_calls"] = [{"id": id, "type": "function", "function": _function(call, place)} for id, call in calls]
        if role == "tool":
            said |= {
                "tool_call_id": waiting.popleft() if waiting else "",
                "name": message.get("tool_name") or message.get("name"),
            }
        found.append(said)
    return found


def _with_images(text: str, images: Any, place: int) -> list[dict[str, Any]]:
    if not isinstance(images, list) or not all(isinstance(one, str) for one in images):
        raise BadRequest(f"messages[{place}].images is no list of texts; give the files in base64")
    shown = [{"type": "image_url", "image_url": {"url": f"data:;base64,{one}"}} for one in images]
    return [*shown, {"type": "text", "text": text}]


def _function(call: Any, place: int) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        raise BadRequest(f"messages[{place}].tool_calls has one without a function")
    given = function.get("arguments") or {}
    return {
        "name": function.get("name"),
        "arguments": given if isinstance(given, str) else json.dumps(given, ensure_ascii=False),
    }


def response_format(given: Any) -> dict[str, Any] | None:
    """A chat's response_format: "json", or a JSON schema."""
    if given in (None, ""):
        return None
    if given == "json":
        return {"type": "json_object"}
    if isinstance(given, Mapping):
        return {"type": "json_schema", "json_schema": {"schema": given}}
    raise BadRequest(f"format is {str(given)[:40]!r}; it can be json, or a JSON schema")


class OllamaEvents:
    """One answer as it is written. `generates`: as /api/generate has it, else as /api/chat."""

    def __init__(self, model: str, generates: bool = False) -> None:
        self.model, self.generates = model, generates
        self.turn = ChatTurn()
        self._start = time.perf_counter_ns()
        self._first = 0  # nanoseconds until the first piece

    def events(self, pieces: Iterable[Piece]) -> Iterator[dict[str, Any]]:
        for piece in pieces:
            self._first = self._first or time.perf_counter_ns() - self._start
            if piece.text or piece.kind == "call" or piece.logprobs:
                logprobs = {"logprobs": list(piece.logprobs)} if piece.logprobs else {}
                yield {**self._head(False), **self._said(piece), **logprobs}
        yield {**self._head(True), **self._said(Piece("text")), **self._end()}

    def whole(self) -> dict[str, Any]:
        """At the turn's end: all of it at once."""
        turn = self.turn
        calls = {"tool_calls": [_call(one) for one in turn.calls]} if turn.calls else {}
        thinking = {"thinking": turn.reasoning} if turn.reasoning else {}
        said = (
            {"response": turn.text, **thinking}
            if self.generates
            else {"message": {"role": "assistant", "content": turn.text, **thinking, **calls}}
        )
        logprobs = {"logprobs": turn.logprobs} if turn.logprobs else {}
        return {**self._head(True), **said, **logprobs, **self._end()}

    def _head(self, done: bool) -> dict[str, Any]:
        return {"model": self.model, "created_at": now(), "done": done}

    def _said(self, piece: Piece) -> dict[str, Any]:
        text = piece.text if piece.kind == "text" else ""
        more: dict[str, Any] = {"thinking": piece.text} if piece.kind == "reasoning" else {}
        if self.generates:
            return {"response": text, **more}
        if piece.kind == "call":
            more = {"tool_calls": [_call(piece.call)]}
        return {"message": {"role": "assistant", "content": text, **more}}

    def _end(self) -> dict[str, Any]:
        """Durations in nanoseconds; a model that is to be loaded is loaded before the first token."""
        total = time.perf_counter_ns() - self._start
        return {
            "done_reason": "length" if self.turn.finish == "length" else "stop",
            "total_duration": total,
            "prompt_eval_count": self.turn.usage["prompt_tokens"],
            "prompt_eval_duration": self._first or total,
            "eval_count": self.turn.usage["completion_tokens"],
            "eval_duration": total - (self._first or total),
        }


def _call(call: Mapping[str, str]) -> dict[str, Any]:
    try:
        given = orjson.loads(call["arguments"] or "{}")
    except ValueError:  # cut in the middle, or nothing that an answer can hold
        given = {"arguments": call["arguments"]}
    return {"function": {"name": call["name"], "arguments": given}}


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
