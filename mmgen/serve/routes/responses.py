"""/v1/responses: OpenAI's newer API of a conversation, which the server may keep from one turn to the next."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from mmgen.errors import BadRequest
from mmgen.serve import pipeline_calls
from mmgen.serve.context import Context, Here
from mmgen.serve.dialects import response_items, turn
from mmgen.serve.dialects.response_events import ResponseEvents
from mmgen.serve.dialects.response_store import ResponseStore
from mmgen.serve.openai_fields import OpenAIBody
from mmgen.serve.pipeline_calls import ServerEvent, StreamFormat, server_sent
from mmgen.serve.routes.chat import ChatRequest
from mmgen.serve.wire.bounds import MOST_MESSAGES, MOST_METADATA, MOST_TOOLS, entries

router = APIRouter(prefix="/v1/responses", tags=["chat"])


class Reasoning(OpenAIBody):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None


class ResponsesRequest(OpenAIBody):
    model: str
    input: str | Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MOST_MESSAGES)]
    instructions: str | None = None
    max_output_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_logprobs: int | None = Field(None, ge=0, le=20)
    include: Annotated[list[str], Field(max_length=20)] | None = None
    seed: int | None = Field(None, description="Not in OpenAI's API: the same seed writes the same text.")
    text: dict[str, Any] | None = None
    tools: Annotated[list[dict[str, Any]], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    previous_response_id: str | None = None
    store: bool | None = True
    stream: bool | None = False
    background: bool | None = False
    metadata: Annotated[dict[str, str], entries(MOST_METADATA)] | None = None

    def head(self, id: str) -> dict[str, Any]:
        """What every object of the response says of the request."""
        said = ("model", "instructions", "max_output_tokens", "temperature", "top_p", "previous_response_id", "metadata")
        return {
            "id": id, "object": "response", "created_at": time.time(), "error": None, "incomplete_details": None,
            "parallel_tool_calls": self.parallel_tool_calls is not False, "tool_choice": self.tool_choice or "auto",
            "tools": self.tools or [], "text": self.text or {"format": {"type": "text"}}, "store": self.store is not False,
            "reasoning": None if self.reasoning is None else self.reasoning.model_dump(), "truncation": "disabled",
            **{name: getattr(self, name) for name in said},
        }  # fmt: skip

    def chat(self, before: list[dict[str, Any]]) -> ChatRequest:
        """The same as a chat. Raises BadRequest and RequestValidationError."""
        if self.background:
            raise BadRequest("background is true; this server answers in the foreground, or see /v1/batches")
        functions, store = response_items.tools(self.tools or ())
        instructions = [{"role": "system", "content": self.instructions}] if self.instructions else []
        said: dict[str, Any] = {
            "model": self.model,
            "messages": [*instructions, *before, *response_items.messages(self.input)],
            "max_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "tools": functions or None,
            "tool_choice": response_items.choice(self.tool_choice) if functions else None,
            "response_format": response_items.response_format(self.text),
            "reasoning_effort": None if self.reasoning is None else self.reasoning.effort,
            "logprobs": "message.output_text.logprobs" in (self.include or ()) or self.top_logprobs is not None,
            "top_logprobs": self.top_logprobs,
            "store": store,
        }
        return turn.chat(said)


@router.post("", response_model=None)
async def create(body: ResponsesRequest, context: Here) -> Response:
    """The next turn of a conversation, whole or as a stream of events; `previous_response_id` names what it goes on from."""
    kept, user = _kept(context), context.caller.user
    before = [] if body.previous_response_id is None else list(kept.get(user, body.previous_response_id).messages)
    chat = body.chat([dict(message) for message in before])
    call = turn.begin(context, chat)
    written = ResponseEvents(body.head(f"resp_{call.request.id}"))

    def events() -> Iterator[ServerEvent]:
        yield from written.events(turn.pieces(turn.chunks(call), written.turn))
        if body.store is not False:
            own = 1 if body.instructions else 0  # which are of one turn alone
            said = [message.model_dump(exclude_none=True) for message in chat.messages[own:]]
            items = _items(body.input)
            kept.add(user, written.finished(), [*said, written.turn.message], items)

    if body.stream:
        form = StreamFormat(server_sent, lambda error: server_sent(written.error(error)), b"")
        return await pipeline_calls.stream(context, call.request, events, form=form)

    def whole() -> dict[str, Any]:
        for _ in events():
            pass
        return written.finished()

    return JSONResponse(await pipeline_calls.run(context, call.request, whole))


@router.get("/{id}", response_model=None)
async def get(id: str, context: Here) -> Mapping[str, Any]:
    """A response that was kept."""
    return _kept(context).get(context.caller.user, id).response


@router.get("/{id}/input_items", response_model=None)
async def input_items(id: str, context: Here) -> Mapping[str, Any]:
    """What was said to it."""
    items = _kept(context).get(context.caller.user, id).items
    return {
        "object": "list", "data": items, "has_more": False,
        "first_id": items[0]["id"] if items else None, "last_id": items[-1]["id"] if items else None,
    }  # fmt: skip


@router.delete("/{id}", response_model=None)
async def delete(id: str, context: Here) -> Mapping[str, Any]:
    """Forgets one, so that nothing can go on from it."""
    _kept(context).delete(context.caller.user, id)
    return {"id": id, "object": "response", "deleted": True}


@router.post("/{id}/cancel", response_model=None)
async def cancel(id: str, context: Here) -> Mapping[str, Any]:
    """Of one in the background, which there are none of here: whoever hangs up cancels."""
    raise BadRequest(f'response "{id[:100]}" is not in the background; hang up, or POST /v1/requests/ID/cancel')


def _kept(context: Context) -> ResponseStore:
    context.caller.check("chat")
    found: ResponseStore = context.http.app.state.responses
    return found


def _items(given: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Input items with ids, as they are listed."""
    listed: list[dict[str, Any]] = [{"role": "user", "content": given}] if isinstance(given, str) else given
    found = []
    for place, item in enumerate(listed):
        said = {"type": "message", **item, "id": item.get("id") or f"item_{place}"}
        if isinstance(said.get("content"), str):
            kind = "output_text" if said.get("role") == "assistant" else "input_text"
            said["content"] = [{"type": kind, "text": said["content"]}]
        found.append(said)
    return found
