"""/v1/responses: a turn as a response with output items, and the events of one that streams."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mmgen.serve.dialects.turn import ChatTurn, Piece
from mmgen.serve.pipeline_calls import ServerEvent


class ResponseEvents:
    """One response as it is written. `head`: what all of its objects say of the request."""

    def __init__(self, head: Mapping[str, Any]) -> None:
        self.head = head
        self.turn = ChatTurn()
        self.output: list[dict[str, Any]] = []
        self.number = 0  # of the next event
        self._open: dict[str, Any] | None = None  # the item that is being written

    def response(self, status: str, **more: Any) -> dict[str, Any]:
        usage = self.turn.usage
        told = None
        if usage:
            told = {
                "input_tokens": usage["prompt_tokens"],
                "input_tokens_details": {"cache_write_tokens": 0, **usage["prompt_tokens_details"]},
                "output_tokens": usage["completion_tokens"],
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": usage["total_tokens"],
            }
        return {**self.head, "status": status, "output": list(self.output), "usage": told, **self.turn.sureness, **more}

    def finished(self) -> dict[str, Any]:
        """The whole response at the turn's end."""
        if self.turn.finish == "length":
            return self.response("incomplete", incomplete_details={"reason": "max_output_tokens"})
        return self.response("completed")

    def events(self, pieces: Iterable[Piece]) -> Iterator[ServerEvent]:
        """`pieces` add to `self.turn`. The last event is the finished response."""
        yield self._event("response.created", response=self.response("in_progress"))
        yield self._event("response.in_progress", response=self.response("in_progress"))
        for piece in pieces:
            yield from self._told(piece)
        yield from self._close()
        if not self.output:
            yield from self._message()
            yield from self._close()
        whole = self.finished()
        yield self._event(f"response.{whole['status']}", response=whole)

    def error(self, body: Mapping[str, Any]) -> ServerEvent:
        said = {name: body["error"][name] for name in ("code", "message", "param")}
        return self._event("error", **said)

    def _told(self, piece: Piece) -> Iterator[ServerEvent]:
        if piece.kind == "call":
            yield from self._close()
            yield from self._call(piece.call)
        elif piece.kind == "reasoning":
            if self._kind != "reasoning":
                yield from self._close()
                yield from self._item({"type": "reasoning", "summary": [], "content": []}, "rs")
                yield self._part("added", {"type": "reasoning_text", "text": ""})
            yield self._event("response.reasoning_text.delta", content_index=0, delta=piece.text, **self._where)
            self._text += piece.text
        else:
            if self._kind != "message":
                yield from self._close()
                yield from self._message()
            if piece.text or piece.logprobs:
                self._text += piece.text
                self._logprobs += piece.logprobs
                said = {"content_index": 0, "delta": piece.text, "logprobs": list(piece.logprobs)}
                yield self._event("response.output_text.delta", **said, **self._where)
            for annotation in ({"type": one["type"], **one[one["type"]]} for one in piece.annotations):
                place = len(self._annotations)
                self._annotations.append(annotation)
                said = {"content_index": 0, "annotation_index": place, "annotation": annotation}
                yield self._event("response.output_text.annotation.added", **said, **self._where)

    @property
    def _kind(self) -> str:
        return "" if self._open is None else str(self._open["type"])

    @property
    def _where(self) -> dict[str, Any]:
        assert self._open is not None
        return {"item_id": self._open["id"], "output_index": len(self.output)}

    def _message(self) -> Iterator[ServerEvent]:
        yield from self._item({"type": "message", "role": "assistant", "content": []}, "msg")
        yield self._part("added", {"type": "output_text", "text": "", "annotations": [], "logprobs": []})

    def _item(self, item: dict[str, Any], prefix: str) -> Iterator[ServerEvent]:
        self._open = {"id": f"{prefix}_{secrets.token_hex(16)}", **item, "status": "in_progress"}
        self._text = ""
        self._logprobs: list[Mapping[str, Any]] = []
        self._annotations: list[Mapping[str, Any]] = []
        yield self._event("response.output_item.added", output_index=len(self.output), item=dict(self._open))

    def _part(self, what: str, part: Mapping[str, Any]) -> ServerEvent:
        return self._event(f"response.content_part.{what}", content_index=0, part=part, **self._where)

    def _call(self, call: Mapping[str, str]) -> Iterator[ServerEvent]:
        item = {"type": "function_call", "call_id": call["id"], "name": call["name"], "arguments": ""}
        yield from self._item(item, "fc")
        yield self._event("response.function_call_arguments.delta", delta=call["arguments"], **self._where)
        said = {"arguments": call["arguments"], "name": call["name"]}
        yield self._event("response.function_call_arguments.done", **said, **self._where)
        yield self._done({"arguments": call["arguments"]})

    def _close(self) -> Iterator[ServerEvent]:
        """Ends the item that is being written."""
        if self._open is None:
            return
        if self._kind == "reasoning":
            part: dict[str, Any] = {"type": "reasoning_text", "text": self._text}
            yield self._event("response.reasoning_text.done", content_index=0, text=self._text, **self._where)
        else:
            part = {
                "type": "output_text", "text": self._text, "annotations": self._annotations, "logprobs": self._logprobs
            }  # fmt: skip
            said = {"content_index": 0, "text": self._text, "logprobs": self._logprobs}
            yield self._event("response.output_text.done", **said, **self._where)
        yield self._part("done", part)
        yield self._done({"content": [part]})

    def _done(self, more: Mapping[str, Any]) -> ServerEvent:
        assert self._open is not None
        item = {**self._open, **more, "status": "completed"}
        event = self._event("response.output_item.done", output_index=len(self.output), item=item)
        self.output.append(item)
        self._open = None
        return event

    def _event(self, kind: str, **said: Any) -> ServerEvent:
        self.number += 1
        return ServerEvent(kind, {"type": kind, "sequence_number": self.number - 1, **said})
