"""/v1/assistant: a conversation gets its next message, with calls of tools that the key may use and the body switches on."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from mmgen.engine.job import Request
from mmgen.errors import BadRequest, Forbidden
from mmgen.pipelines.agent.permissions import MOST_ROUNDS, SCOPES, SWITCHES, switches
from mmgen.pipelines.assistant import Assistant
from mmgen.serve import pipeline_calls, serialization
from mmgen.serve.context import Context, Here
from mmgen.serve.openai_fields import LEAST_P, OpenAIBody
from mmgen.serve.pipeline_calls import ServerEvent
from mmgen.serve.routes.chat import ChatMessage
from mmgen.serve.wire.bounds import MOST_MESSAGES, MOST_STOPS, MOST_VARIABLES, entries
from mmgen.text_params import TextParams

if TYPE_CHECKING:
    from mmgen.pipelines.agent.reply import AssistantReply
    from mmgen.pipelines.streaming import Event

router = APIRouter(tags=["assistant"])
Name = Annotated[str, Field(max_length=64)]


class ApprovedCall(OpenAIBody):
    """A pending call as it was told."""

    tool: Name
    arguments: Annotated[dict[str, Any], entries(MOST_VARIABLES)]


class AssistantMessage(ChatMessage):
    untrusted: bool = Field(False, description="As a reply told it: others' text went into it.")


class AssistantBody(OpenAIBody):
    messages: Annotated[list[AssistantMessage], Field(min_length=1, max_length=MOST_MESSAGES)]
    model: str | None = Field(None, description="The language model; null: the usual one.")
    image_model: str | None = Field(None, description="The model that draws; null: the usual one.")
    store: Name | None = Field(None, description="The store that is asked.")
    tools: (
        Annotated[list[Literal["docs", "images", "draw", "calc", "fetch", "mcp"]], Field(max_length=len(SWITCHES))] | None
    ) = Field(
        None, description="Tools that this turn may use; null: those of docs, images, draw and calc that the key may use."
    )
    allow: Annotated[list[Name], Field(max_length=64)] = Field([], description="Tools that run without asking first.")
    approved: Annotated[list[ApprovedCall], Field(max_length=MOST_ROUNDS)] = Field([], description="Pending calls to run now.")
    rounds: int = Field(4, ge=0, le=MOST_ROUNDS, description="Calls of this turn at most.")
    timeout: float | None = Field(None, gt=0, le=86400, description="Seconds of this turn at most.")
    device_s: float | None = Field(None, gt=0, le=86400, description="Seconds of the device at most.")
    max_tokens: int | None = Field(None, ge=1, le=10**9)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    seed: int | None = Field(None, ge=-1, lt=2**63)
    stop: Annotated[list[str], Field(max_length=MOST_STOPS)] | None = None
    stream: bool = False

    def params(self) -> TextParams:
        said = {name: getattr(self, name) for name in ("max_tokens", "temperature", "seed", "stop")}
        said |= {} if self.top_p is None else {"top_p": max(self.top_p, LEAST_P)}
        return TextParams(**{"temperature": 0.7, "top_p": 0.95} | {name: one for name, one in said.items() if one is not None})


@router.post("/v1/assistant", response_model=None)
async def assistant(body: AssistantBody, context: Here) -> Response:
    """The next message of a conversation, whole or as events: route, call, confirm, progress, image, result, note, text, reply.

    A call that writes or sends is told as pending: send the conversation with the reply again, and the call in `approved`.
    """
    tools = permitted(body, context)
    request = context.begin("assistant", "chat", "interactive", body.store if {"docs", "images"} & set(tools) else None)

    def work() -> Iterator[Event]:
        settings, state = context.http.app.state.settings, context.http.app.state
        made = Assistant(
            context.rt,
            model=context.model(body.model, "text"),
            store=body.store,
            image_model=context.model(body.image_model, "denoiser"),
            connections=state.mcp_servers,
        )
        said = [message.plain(settings) | ({"untrusted": True} if message.untrusted else {}) for message in body.messages]
        approved = [one.model_dump() for one in body.approved]
        try:
            for event in made.stream(
                said, params=body.params(), tools=tools, allow=body.allow, approved=approved, rounds=body.rounds,
                timeout=body.timeout, device_s=body.device_s, request=request,
            ):  # fmt: skip
                if event.kind == "reply":
                    keep(context, request, body, event.value)
                yield event
        finally:
            made.close()

    if body.stream:
        return await pipeline_calls.stream(context, request, lambda: (told(one, context) for one in work()))
    return JSONResponse(await pipeline_calls.run(context, request, lambda: whole(work(), context)))


def permitted(body: AssistantBody, context: Context) -> list[str]:
    """The tools of this turn. Raises Forbidden for one that the key or the server's settings do not allow."""
    caller, state = context.caller, context.http.app.state
    named = body.tools is not None
    tools = switches(body.tools, bool(state.mcp_servers.servers))
    if not named:
        tools = [tool for tool in tools if SCOPES[tool] in caller.scopes]
    for tool in tools:
        caller.check(SCOPES[tool], body.store if tool in ("docs", "images") else None)
    if "fetch" in tools and not state.settings.fetch_urls:
        raise Forbidden("this server fetches no URLs; leave the tool fetch out")
    if "mcp" in tools and not state.mcp_servers.servers:
        raise Forbidden("this server has no MCP servers; name some in its settings, or leave the tool mcp out")
    if {"docs", "images"} & set(tools) and body.store is None and caller.stores is not None:
        raise BadRequest(f"store is missing; this key may use {', '.join(sorted(caller.stores))}")
    return tools


def whole(events: Iterator[Event], context: Context) -> dict[str, Any]:
    *_, last = events
    return reply_json(last.value, context)


def told(event: Event, context: Context) -> ServerEvent:
    """An event as it is sent."""
    if event.kind == "reply":
        return ServerEvent("reply", reply_json(event.value, context))
    if event.kind == "note":
        return ServerEvent("note", {"text": event.value})
    if event.kind == "text":
        return ServerEvent("text", {"text": event.value.text, **({"reasoning": r} if (r := event.value.reasoning) else {})})
    value: dict[str, Any] = homeless(serialization.to_json(event.value), context)
    return ServerEvent(event.kind, value)


def reply_json(reply: AssistantReply, context: Context) -> dict[str, Any]:
    """Its `message` goes to the end of the conversation."""
    fields = (
        "steps",
        "pending",
        "citations",
        "passages",
        "images",
        "confidence",
        "abstained",
        "stopped",
        "device_ms",
        "timings",
    )
    said: dict[str, Any] = {"role": "assistant", "content": homeless(reply.text, context)}
    if reply.messages[-1].get("untrusted"):
        said["untrusted"] = True
    values = {name: homeless(serialization.to_json(getattr(reply, name), name), context) for name in fields}
    model = serialization.to_json(reply.model, "model") if reply.model else None
    return {
        "id": f"asst-{reply.request_id}", "object": "assistant.reply", "created": int(time.time()), "model": model,
        "message": said, **values,
    }  # fmt: skip


def homeless(value: Any, context: Context) -> Any:
    """Without the path of the server's home, as errors of stores name it."""
    if isinstance(value, str):
        return value.replace(f"{context.rt.home}/stores/", "").replace(str(context.rt.home), "~")
    if isinstance(value, Mapping):
        return {key: homeless(one, context) for key, one in value.items() if key != "data"} | (
            {"data": value["data"]} if "data" in value else {}
        )
    return [homeless(one, context) for one in value] if isinstance(value, list) else value


def keep(context: Context, request: Request, body: AssistantBody, reply: AssistantReply) -> None:
    """In the history, images as files."""
    said = [{"role": one.role, "content": one.content if isinstance(one.content, str) else "(parts)"} for one in body.messages]
    files = {f"{number}-{image.name}": base64.b64decode(image.data) for number, image in enumerate(reply.images, 1)}
    told = reply_json(reply, context)
    told["images"] = [{key: one for key, one in image.items() if key != "data"} for image in told["images"]]
    context.keep(request, {"messages": said, "tools": body.tools, "store": body.store}, told, files)
