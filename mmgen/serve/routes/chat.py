"""/v1/chat/completions: a conversation gets its next message."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.pipelines.factory import pipeline
from mmgen.pipelines.language import reasoning
from mmgen.serve import pipeline_calls, uploads
from mmgen.serve.context import Context, Here
from mmgen.serve.dialects import grounded
from mmgen.serve.openai_fields import FINGERPRINT, LEAST_LOGPROB, OpenAIBody, TextBody, usage
from mmgen.serve.settings import ServeConfig
from mmgen.serve.tools import Tool, ToolCallParser, Tools
from mmgen.serve.wire.bounds import MOST_MESSAGES, MOST_PARTS, MOST_TOOLS, MOST_VARIABLES, entries
from mmgen.text_params import TextParams

router = APIRouter(tags=["chat"])


class TextPart(OpenAIBody):
    type: Literal["text"]
    text: str


class ImageURL(OpenAIBody):
    url: str
    detail: Literal["auto", "low", "high"] | None = None  # has no effect: the checkpoint's processor scales


class ImagePart(OpenAIBody):
    type: Literal["image_url"]
    image_url: ImageURL


class CalledFunction(OpenAIBody):
    name: str
    arguments: str


class ToolCall(OpenAIBody):
    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatMessage(OpenAIBody):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: (
        str | Annotated[list[Annotated[TextPart | ImagePart, Field(discriminator="type")]], Field(max_length=MOST_PARTS)] | None
    ) = None
    reasoning_content: str | None = None
    name: str | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=MOST_TOOLS)] | None = None
    tool_call_id: str | None = None

    def plain(self, settings: ServeConfig) -> dict[str, Any]:
        """As pipelines have it: one text, or parts with opened images. Blocks where URLs are fetched."""
        content: Any = self.content or ""
        if not isinstance(content, str):
            content = uploads.opened([part.model_dump() for part in content], settings)
        out: dict[str, Any] = {"role": "system" if self.role == "developer" else self.role, "content": content}
        if self.tool_calls:
            out["tool_calls"] = [call.model_dump() for call in self.tool_calls]
        named = {"name": self.name, "tool_call_id": self.tool_call_id, "reasoning_content": self.reasoning_content}
        return out | {key: value for key, value in named.items() if value is not None}


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
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MOST_MESSAGES)]
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    chat_template_kwargs: Annotated[dict[str, Any], entries(MOST_VARIABLES)] | None = None
    continue_final_message: bool | None = False
    add_generation_prompt: bool | None = None
    think: bool | None = Field(None, description="Whether a model that can think before it answers does so.")
    store: str | bool | None = Field(None, description="The name of a store whose documents answer; true and false do nothing.")

    def asked(self) -> dict[str, Any]:
        """For the history, which keeps no images."""
        out = super().asked()
        for part in [part for message in out["messages"] for part in message.get("content", ()) if "image_url" in part]:
            if not isinstance(part, str):
                part["image_url"]["url"] = re.sub(r"(?s)^(data:[^,]{0,100}),.*", r"\1,...", part["image_url"]["url"])
        return out

    @property
    def store_name(self) -> str | None:
        return self.store if isinstance(self.store, str) else None

    def chat_options(self) -> dict[str, Any]:
        """What the chat pipeline takes beside its params. Raises BadRequest for a contradiction."""
        goes_on = bool(self.continue_final_message)
        if self.add_generation_prompt is not None and self.add_generation_prompt is goes_on:
            raise BadRequest(
                f"add_generation_prompt is {str(goes_on).lower()}, and so is continue_final_message; a reply either begins or "
                "goes on, set one of them"
            )
        variables = {} if self.reasoning_effort is None else {"reasoning_effort": self.reasoning_effort}
        return {"chat_template_kwargs": variables | (self.chat_template_kwargs or {}), "continue_final_message": goes_on}

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
    params = body.chat_params()
    request = begun(context, body)
    answer = ChatStream(context, body, request)

    def said() -> list[dict[str, Any]]:
        return [message.plain(context.http.app.state.settings) for message in body.messages]

    if body.stream:
        return await pipeline_calls.stream(context, request, lambda: answer.stream(said(), params))
    return JSONResponse(await pipeline_calls.run(context, request, lambda: answer.whole(said(), params)))


def begun(context: Context, body: ChatRequest) -> Request:
    """The engine's request of a call. Raises Forbidden, also for a store that the key may not use."""
    if body.store_name is None:
        return context.begin("chat", "chat", "interactive")
    if body.offered().offered or (body.n or 1) > 1:
        raise BadRequest("store is given with tools or n above 1; a store gives one answer and calls nothing, leave them out")
    return context.begin("rag-text", "stores", "interactive", body.store_name)


class ChatStream:
    """One call being answered."""

    def __init__(self, context: Context, body: ChatRequest, request: Request) -> None:
        self.context, self.body, self.request = context, body, request
        self.tools = body.offered()
        self.head = {
            "id": f"chatcmpl-{request.id}",
            "created": int(request.created),
            "model": body.model,
            "system_fingerprint": FINGERPRINT,
        }

    def pipeline(self) -> Any:
        return pipeline("chat", runtime=self.context.rt, model=self.context.model(self.body.model, "text"))

    def options(self, params: TextParams) -> dict[str, Any]:
        return {"params": params, "tools": self.tools.told() or None, "request": self.request, **self.variables()}

    def variables(self) -> dict[str, Any]:
        """Options of the chat with `think` as the template's own variable. What cannot think does not have to be told so."""
        options, think = self.body.chat_options(), self.body.think
        if think is not None:
            client = self.context.rt.text(self.context.model(self.body.model, "text"))
            switch = reasoning.switch(client.model.template, think)
            if think and not switch:
                raise BadRequest(f"{self.body.model} has no switch for thinking; leave it out, or take a model that thinks")
            options["chat_template_kwargs"] |= switch or {}
        return options

    def whole(self, said: Sequence[Any], params: TextParams) -> dict[str, Any]:
        if (store := self.body.store_name) is not None:
            found = grounded.answer(self.context, store, self.body.model, list(said), self.request)
            message = {"role": "assistant", "content": found["text"], "refusal": None, "annotations": found["annotations"]}
            choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
            return {**self.head, "object": "chat.completion", "choices": [choice], "usage": None, **_sureness(found)}
        reply = self.pipeline()(said, **self.options(params))
        choices = []
        for index, (text, reason) in enumerate(zip(reply.texts, reply.finish_reasons, strict=True)):
            content, called = self.tools.read(text)
            message = {"role": "assistant", "content": content, "refusal": None} | ({"tool_calls": called} if called else {})
            if reply.reasoning is not None:
                message["reasoning_content"] = reply.reasoning[index]
            logprobs = None if reply.logprobs is None else _logprobs(reply.logprobs[index])
            reason = self.tools.reason(reason, called)
            stop = {"stop_reason": reply.stops[index]} if reply.stops else {}
            choices.append({"index": index, "message": message, "logprobs": logprobs, "finish_reason": reason, **stop})
        self.keep(reply, [choice["message"] for choice in choices])
        return {**self.head, "object": "chat.completion", "choices": choices, "usage": usage(reply.usage)}

    def stream(self, said: Sequence[Any], params: TextParams) -> Iterator[dict[str, Any]]:
        if (store := self.body.store_name) is not None:
            found = grounded.answer(self.context, store, self.body.model, list(said), self.request)
            yield self.chunk(0, {"role": "assistant", "content": found["text"], "annotations": found["annotations"]})
            yield self.chunk(0, {}, "stop") | _sureness(found)
            return
        heard = [ToolCallParser(self.tools) for _ in range(params.n)]
        begun = False
        for event in self.pipeline().stream(said, **self.options(params)):
            if not begun:
                begun = True
                for index in range(params.n):
                    yield self.chunk(index, {"role": "assistant", "content": "", "refusal": None})
            if event.kind == "text":
                delta = event.value
                text = heard[delta.index].push(delta.text)
                if text or delta.tokens or delta.reasoning:
                    logprobs = _logprobs(delta.tokens) if delta.tokens else None
                    more = {"reasoning_content": delta.reasoning} if delta.reasoning else {}
                    yield self.chunk(delta.index, more | ({"content": text} if text or not more else {}), logprobs=logprobs)
            elif event.kind == "reply":
                reply = event.value
        messages = []
        for index, reason in enumerate(reply.finish_reasons):
            rest, called = heard[index].end()
            thought = {} if reply.reasoning is None else {"reasoning_content": reply.reasoning[index]}
            if rest or called:
                calls_ = [{"index": place, **call} for place, call in enumerate(called)]
                yield self.chunk(index, ({"content": rest} if rest else {}) | ({"tool_calls": calls_} if called else {}))
            stop = {"stop_reason": reply.stops[index]} if reply.stops else {}
            yield self.chunk(index, {}, self.tools.reason(reason, called), **stop)
            calls = {"tool_calls": called} if called else {}
            messages.append({"role": "assistant", "content": heard[index].content} | calls | thought)
        self.keep(reply, messages)
        if self.body.tells_usage:
            yield {**self.head, "object": "chat.completion.chunk", "choices": [], "usage": usage(reply.usage)}

    def chunk(
        self,
        index: int,
        delta: dict[str, Any],
        reason: str | None = None,
        logprobs: dict[str, Any] | None = None,
        **end: str | None,
    ) -> dict[str, Any]:
        """`end`: `stop_reason`, the caller's stop string that ended the text, as vLLM tells it."""
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason, **end}
        more = {"usage": None} if self.body.tells_usage else {}
        return {**self.head, "object": "chat.completion.chunk", "choices": [choice], **more}

    def keep(self, reply: Any, messages: Sequence[Any]) -> None:
        told = {"messages": messages, "finish_reasons": reply.finish_reasons, "usage": usage(reply.usage), "seed": reply.seed}
        self.context.keep(self.request, self.body.asked(), told)


def _sureness(found: Mapping[str, Any]) -> dict[str, Any]:
    """Beside OpenAI's fields: the calibrated probability that a store's answer is right."""
    return {"confidence": found["confidence"], "abstained": found["abstained"]}


def _logprobs(tokens: Sequence[Any]) -> dict[str, Any]:
    content = [
        {
            "token": one.text,
            "logprob": max(one.logprob, LEAST_LOGPROB),
            "bytes": one.bytes,
            "top_logprobs": [
                {"token": top.text, "logprob": max(top.logprob, LEAST_LOGPROB), "bytes": top.bytes} for top in one.top
            ],
        }
        for one in tokens
    ]
    return {"content": content, "refusal": None}
