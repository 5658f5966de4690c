"""/v1/messages: chats as Anthropic's clients ask for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from mmgen.pipelines.chat import conversation, written
from mmgen.pipelines.language import content_parts
from mmgen.serve import pipeline_calls
from mmgen.serve.context import Context, Here
from mmgen.serve.dialects import anthropic_messages, error_forms, turn
from mmgen.serve.dialects.anthropic_messages import MessageEvents
from mmgen.serve.openai_fields import OpenAIBody
from mmgen.serve.pipeline_calls import ServerEvent, StreamFormat, server_sent
from mmgen.serve.routes.chat import ChatRequest, ChatStream
from mmgen.serve.wire.bounds import MOST_MESSAGES, MOST_PARTS, MOST_STOPS, MOST_TOOLS

router = APIRouter(prefix="/v1/messages", tags=["chat"])
STREAM = StreamFormat(
    server_sent,
    lambda body: server_sent(ServerEvent("error", error_forms.anthropic(body["error"], error_forms.status_of(body)))),
    b"",
)


class CountRequest(OpenAIBody):
    model: str
    messages: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MOST_MESSAGES)]
    system: str | Annotated[list[dict[str, Any]], Field(max_length=MOST_PARTS)] | None = None
    tools: Annotated[list[dict[str, Any]], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None

    def chat(self, **more: Any) -> ChatRequest:
        """The same as a chat. Raises BadRequest and RequestValidationError."""
        messages = anthropic_messages.messages(self.system, self.messages)
        functions = anthropic_messages.tools(self.tools or ())
        thinking = (self.thinking or {}).get("type")
        said = {
            "model": self.model,
            "messages": messages,
            "tools": functions or None,
            "tool_choice": anthropic_messages.choice(self.tool_choice) if functions else None,
            "think": None if thinking is None else thinking != "disabled",
            "continue_final_message": messages[-1]["role"] == "assistant",
        }
        return turn.chat(said | more)


class MessagesRequest(CountRequest):
    max_tokens: int = Field(ge=1)
    temperature: float | None = Field(None, ge=0, le=1)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=0)
    stop_sequences: Annotated[list[str], Field(max_length=MOST_STOPS)] | None = None
    stream: bool | None = False
    seed: int | None = Field(None, description="Not in Anthropic's API: the same seed writes the same text.")


@router.post("", response_model=None)
async def messages(body: MessagesRequest, context: Here) -> Response:
    """The next message of a conversation, whole or as a stream of events."""
    said = {name: getattr(body, name) for name in ("max_tokens", "temperature", "top_p", "top_k", "seed")}
    chat = body.chat(stop=body.stop_sequences, **said)
    call = turn.begin(context, chat)
    made = MessageEvents(call.request.id, body.model)

    def events() -> Iterator[ServerEvent]:
        read = 0 if _has_images(chat) or not body.stream else prompt_tokens(context, chat, call)
        yield from made.events(turn.pieces(turn.chunks(call), made.turn), read)

    if body.stream:
        return await pipeline_calls.stream(context, call.request, events, form=STREAM)

    def whole() -> dict[str, Any]:
        for _ in events():
            pass
        return made.whole()

    return JSONResponse(await pipeline_calls.run(context, call.request, whole))


@router.post("/count_tokens", response_model=None)
async def count_tokens(body: CountRequest, context: Here) -> Response:
    """How many tokens the model would read."""
    chat = body.chat()
    call = turn.begin(context, chat)
    count = await pipeline_calls.run(context, call.request, lambda: prompt_tokens(context, chat, call))
    return JSONResponse({"input_tokens": count})


def prompt_tokens(context: Context, chat: ChatRequest, call: ChatStream) -> int:
    """Of the conversation as the model's template writes it. Blocks."""
    said = [message.plain(context.http.app.state.settings) for message in chat.messages]
    images = any(content_parts.images(message["content"]) for message in said)
    client = context.rt.text(context.model(chat.model, "text"), images=images)
    goes_on = bool(chat.continue_final_message)
    variables = call.variables()["chat_template_kwargs"]
    return len(written(client, conversation(said, "", goes_on), call.tools.told() or None, variables, goes_on).ids)


def _has_images(chat: ChatRequest) -> bool:
    return any(not isinstance(part, str) and part.type == "image_url" for one in chat.messages for part in one.content or ())
