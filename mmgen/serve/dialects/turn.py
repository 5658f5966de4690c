"""One turn of a chat in the pieces that every API tells in its own form. Knows /v1/chat/completions' chunks, no other API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from mmgen.serve.context import Context
from mmgen.serve.routes.chat import ChatRequest, ChatStream, begun

B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True)
class Piece:
    """More of an answer. A "call" is whole: {"id": ..., "name": ..., "arguments": JSON text}."""

    kind: Literal["reasoning", "text", "call"]
    text: str = ""
    annotations: tuple[Mapping[str, Any], ...] = ()  # citations, as a chat has them
    call: Mapping[str, str] = field(default_factory=dict)
    logprobs: tuple[Mapping[str, Any], ...] = ()


@dataclass
class ChatTurn:
    """An answer, as far as it has come. `finish` and `usage` are there at its end."""

    reasoning: str = ""
    text: str = ""
    calls: list[Mapping[str, str]] = field(default_factory=list)
    logprobs: list[Mapping[str, Any]] = field(default_factory=list)
    sureness: dict[str, Any] = field(default_factory=dict)  # of a store's answer
    finish: str = ""  # stop, length or tool_calls
    stop: str | None = None  # the caller's stop string that ended it
    usage: Mapping[str, Any] = field(default_factory=dict)

    def add(self, piece: Piece) -> None:
        if piece.kind == "call":
            self.calls.append(piece.call)
        elif piece.kind == "reasoning":
            self.reasoning += piece.text
        else:
            self.text += piece.text
        self.logprobs += piece.logprobs

    @property
    def message(self) -> dict[str, Any]:
        """As the next turn is told of it."""
        said: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.reasoning:
            said["reasoning_content"] = self.reasoning
        if self.calls:
            said["tool_calls"] = [
                {"id": one["id"], "type": "function", "function": {"name": one["name"], "arguments": one["arguments"]}}
                for one in self.calls
            ]
        return said


def chat(said: Mapping[str, Any]) -> ChatRequest:
    """Of what another API's body means; streamed, with its usage at the end. Raises RequestValidationError."""
    return checked(ChatRequest, {"stream": True, "stream_options": {"include_usage": True}, **said})


def checked(kind: type[B], said: Mapping[str, Any]) -> B:
    """Another API's body as one of ours. Raises RequestValidationError."""
    try:
        return kind.model_validate(said)
    except ValidationError as why:
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in why.errors()]) from None


def begin(context: Context, body: ChatRequest) -> ChatStream:
    """The call of a chat that is to be answered."""
    body.chat_params()  # what cannot be is refused before anything is under way
    return ChatStream(context, body, begun(context, body))


def chunks(stream: ChatStream) -> Iterator[Mapping[str, Any]]:
    """Blocks; images of messages are fetched in here."""
    settings = stream.context.http.app.state.settings
    yield from stream.stream([message.plain(settings) for message in stream.body.messages], stream.body.chat_params())


def pieces(told: Iterable[Mapping[str, Any]], turn: ChatTurn) -> Iterator[Piece]:
    """What chunks of one choice say, each added to the `turn`; its end is put down there alone."""
    for chunk in told:
        turn.usage = chunk.get("usage") or turn.usage
        turn.sureness |= {name: chunk[name] for name in ("confidence", "abstained") if name in chunk}
        for choice in chunk["choices"]:
            for piece in _pieces(choice):
                turn.add(piece)
                yield piece
            turn.finish = choice["finish_reason"] or turn.finish
            turn.stop = choice.get("stop_reason") or turn.stop


def _pieces(choice: Mapping[str, Any]) -> Iterator[Piece]:
    delta = choice["delta"]
    if thought := delta.get("reasoning_content"):
        yield Piece("reasoning", thought)
    logprobs = tuple((choice["logprobs"] or {}).get("content", ()))
    if (text := delta.get("content")) or logprobs:
        yield Piece("text", text or "", tuple(delta.get("annotations", ())), logprobs=logprobs)
    for call in delta.get("tool_calls", ()):
        yield Piece("call", call={"id": call["id"], **call["function"]})
