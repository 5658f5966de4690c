"""/v1/chat/completions: a conversation gets its next message."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from mmgen.engine.job import Request
from mmgen.models.lm.detokenizer import HALF
from mmgen.pipelines.factory import pipeline
from mmgen.serve import pipeline_calls
from mmgen.serve.context import Context, Here
from mmgen.serve.openai_fields import FINGERPRINT, LEAST_LOGPROB, OpenAIBody, TextBody, usage
from mmgen.serve.tools import Tool, ToolCallParser, Tools
from mmgen.text_params import TextParams

router = APIRouter(tags=["chat"])


class ContentPart(OpenAIBody):
    type: Literal["text"]
    text: str


class CalledFunction(OpenAIBody):
    name: str
    arguments: str


class ToolCall(OpenAIBody):
    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatMessage(OpenAIBody):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    def plain(self) -> dict[str, Any]:
        """As pipelines and templates have it: one text, and arguments that are objects."""
        text = self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content or ())
        out: dict[str, Any] = {"role": "system" if self.role == "developer" else self.role, "content": text}
        if self.tool_calls:
            out["tool_calls"] = [{**call.model_dump(), "function": _function(call.function)} for call in self.tool_calls]
        named = {"name": self.name, "tool_call_id": self.tool_call_id}
        return out | {key: value for key, value in named.items() if value is not None}


def _function(called: CalledFunction) -> dict[str, Any]:
    try:
        return {"name": called.name, "arguments": json.loads(called.arguments)}
    except (ValueError, RecursionError):
        return {"name": called.name, "arguments": called.arguments}


class JsonSchemaFormat(OpenAIBody):
    schema_: dict[str, Any] = Field(default={}, alias="schema")


class ResponseFormat(OpenAIBody):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class NamedFunction(OpenAIBody):
    name: str


class NamedTool(OpenAIBody):
    type: Literal["function"]
    function: NamedFunction


class ChatRequest(TextBody):
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None

    def chat_params(self) -> TextParams:
        schema = None
        if self.response_format is not None and self.response_format.type != "text":
            given = self.response_format.json_schema
            schema = {"type": "object"} if given is None else given.schema_
        return self.params(
            max_tokens=self.max_completion_tokens or self.max_tokens,
            logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            json_schema=self.offered().schema() or schema,
        )

    def offered(self) -> Tools:
        """Raises BadRequest for a choice that is none."""
        named = isinstance(self.tool_choice, NamedTool)
        choice = self.tool_choice.function.name if isinstance(self.tool_choice, NamedTool) else self.tool_choice or "auto"
        return Tools(self.tools or [], choice, named)


@router.post("/v1/chat/completions", response_model=None)
async def chat_completions(body: ChatRequest, context: Here) -> Response:
    """The model's next message in a conversation, whole or as a stream of server-sent events."""
    params, said = body.chat_params(), [message.plain() for message in body.messages]
    request = context.begin("chat", "chat", "interactive")
    answer = ChatStream(context, body, request)
    if body.stream:
        return await pipeline_calls.stream(context, request, lambda: answer.stream(said, params))
    return JSONResponse(await pipeline_calls.run(context, request, lambda: answer.whole(said, params)))


class ChatStream:
    """One call being answered."""

    def __init__(self, context: Context, body: ChatRequest, request: Request) -> None:
        self.context, self.body, self.request = context, body, request
        self.tools = body.offered()
        self.head = {
            "id": f"chatcmpl-{request.id}",
            "created": int(time.time()),
            "model": body.model,
            "system_fingerprint": FINGERPRINT,
        }

    def pipeline(self) -> Any:
        return pipeline("chat", runtime=self.context.rt, model=self.context.model(self.body.model, "text"))

    def whole(self, said: Sequence[Any], params: TextParams) -> dict[str, Any]:
        reply = self.pipeline()(said, params=params, tools=self.tools.told() or None, request=self.request)
        choices = []
        for index, (text, reason) in enumerate(zip(reply.texts, reply.finish_reasons, strict=True)):
            content, called = self.tools.read(text)
            message = {"role": "assistant", "content": content, "refusal": None} | ({"tool_calls": called} if called else {})
            logprobs = None if reply.logprobs is None else _logprobs(reply.logprobs[index])
            reason = self.tools.reason(reason, called)
            choices.append({"index": index, "message": message, "logprobs": logprobs, "finish_reason": reason})
        self.keep(reply, [choice["message"] for choice in choices])
        return {**self.head, "object": "chat.completion", "choices": choices, "usage": usage(reply.usage)}

    def stream(self, said: Sequence[Any], params: TextParams) -> Iterator[dict[str, Any]]:
        heard = [ToolCallParser(self.tools) for _ in range(params.n)]
        begun = False
        for event in self.pipeline().stream(said, params=params, tools=self.tools.told() or None, request=self.request):
            if not begun:
                begun = True
                for index in range(params.n):
                    yield self.chunk(index, {"role": "assistant", "content": "", "refusal": None})
            if event.kind == "text":
                delta = event.value
                text = heard[delta.index].push(delta.text)
                if text or delta.tokens:
                    logprobs = _logprobs(delta.tokens) if delta.tokens else None
                    yield self.chunk(delta.index, {"content": text}, logprobs=logprobs)
            else:
                reply = event.value
        messages = []
        for index, reason in enumerate(reply.finish_reasons):
            rest, called = heard[index].end()
            if rest or called:
                calls_ = [{"index": place, **call} for place, call in enumerate(called)]
                yield self.chunk(index, ({"content": rest} if rest else {}) | ({"tool_calls": calls_} if called else {}))
            yield self.chunk(index, {}, self.tools.reason(reason, called))
            messages.append({"role": "assistant", "content": heard[index].content} | ({"tool_calls": called} if called else {}))
        self.keep(reply, messages)
        if self.body.tells_usage:
            yield {**self.head, "object": "chat.completion.chunk", "choices": [], "usage": usage(reply.usage)}

    def chunk(
        self, index: int, delta: dict[str, Any], reason: str | None = None, logprobs: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        more = {"usage": None} if self.body.tells_usage else {}
        return {**self.head, "object": "chat.completion.chunk", "choices": [choice], **more}

    def keep(self, reply: Any, messages: Sequence[Any]) -> None:
        told = {"messages": messages, "finish_reasons": reply.finish_reasons, "usage": usage(reply.usage), "seed": reply.seed}
        self.context.keep(self.request, self.body.asked(), told)


def _logprobs(tokens: Sequence[Any]) -> dict[str, Any]:
    content = [
        {**_token(one.text, one.logprob), "top_logprobs": [_token(text, logprob) for text, logprob in one.top]}
        for one in tokens
    ]
    return {"content": content, "refusal": None}


def _token(text: str, logprob: float) -> dict[str, Any]:
    whole = HALF not in text  # otherwise it is a part of a character, whose bytes are not known any more
    return {"token": text, "logprob": max(logprob, LEAST_LOGPROB), "bytes": list(text.encode()) if whole else None}
