"""What the language model does for the assistant: fills in arguments, chooses a further call, writes the answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from mmgen.engine.job import Request
from mmgen.errors import BadRequest, TooLong
from mmgen.pipelines.agent import untrusted
from mmgen.pipelines.agent.tool import AssistantTool, TurnContext
from mmgen.pipelines.agent.tool_schema import bounded
from mmgen.pipelines.chat import Chat
from mmgen.pipelines.language import content_parts, tool_calls
from mmgen.pipelines.streaming import Event
from mmgen.text_params import TextParams

if TYPE_CHECKING:
    from mmgen.clients.text import TextClient
    from mmgen.runtime import Runtime

ANSWER = "answer"
FILL = (
    "You fill in the arguments of a function from the user's request. You answer with the JSON object of its arguments alone."
)
EXAMPLE = (
    'Function: set_timer\nAbout: "Sets a kitchen timer."\nArguments: minutes (integer), label (string)\n'
    "Request: Tell me in twelve minutes that the cake is ready",
    '{"minutes": 12, "label": "cake"}',
)
NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}
ARGUMENTS = TextParams(strategy="greedy")
MOST_DATA, LEAST_DATA = 12_000, 500  # characters of a result that the model reads
WRITTEN = 0.25  # share of the model's tokens that is kept for what it writes


class ModelCalls:
    """One language model's part in a turn."""

    def __init__(self, rt: Runtime, model: str | None) -> None:
        self.chat = Chat(rt, model=model)
        self.rt = rt

    @property
    def reference(self) -> str:
        return self.chat.reference

    @property
    def client(self) -> TextClient:
        """Loads it."""
        return self.rt.text(self.reference)

    @property
    def calls_by_itself(self) -> bool:
        """Whether its template knows tools, so that it was trained to call some."""
        return bool(self.client.model.template.takes_tools)

    def filled(self, tool: AssistantTool, turn: TurnContext) -> dict[str, Any]:
        """The arguments from the user's words, under the tool's schema. No text of documents or tools is read for it."""
        schema = bounded(tool.parameters)
        names = ", ".join(f"{name} ({_kind(one)})" for name, one in schema["properties"].items())
        about = json.dumps(untrusted.defused(tool.description)[:300], ensure_ascii=False)
        head = f"Function: {tool.name}\nAbout: {about}\nArguments: {names or 'none'}\nRequest: "
        shown = [(head + said, json.dumps(given)) for said, given in tool.examples] or [EXAMPLE]
        messages = [{"role": "system", "content": FILL}]
        for said, given in shown:
            messages += [{"role": "user", "content": said}, {"role": "assistant", "content": given}]
        messages.append({"role": "user", "content": head + turn.said[:2000]})
        return self._json(messages, {**schema, "required": schema.get("required", [])}, turn.request, tool.name)

    def chosen(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[AssistantTool], request: Request
    ) -> tuple[str, dict[str, Any]] | None:
        """The next call, of these tools alone; None: the model would answer."""
        told = [_function(tool) for tool in tools]
        told.append(_described(ANSWER, "Answers the user now, without another function.", NOTHING))
        found = self._json(messages, tool_calls.schema(told), request, "the next call", told)
        return None if found["name"] == ANSWER else (str(found["name"]), dict(found["arguments"]))

    def written(self, messages: Sequence[Mapping[str, Any]], params: TextParams, request: Request) -> Iterator[Event]:
        """The chat's events: "text" and at last "reply"."""
        yield from self.chat.stream(self.seen(messages), params=params, request=request)

    def seen(self, messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Without images, but for those of the last message, where the model sees none."""
        if self.client.eyes is not None:
            return list(messages)
        *before, last = messages
        return [*({**one, "content": content_parts.text(one["content"])} for one in before), last]

    def fitting(self, messages: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], int]:
        """The conversation's end that the model can read, and how many messages were left out. Raises TooLong."""
        room = int(self.client.max_tokens * (1 - WRITTEN))
        lengths = [len(self.client.model.encode(content_parts.text(one["content"]))) + 8 for one in messages]
        head = 1 if messages and messages[0]["role"] == "system" else 0
        start = head
        while start < len(messages) - 1 and sum(lengths[:head]) + sum(lengths[start:]) > room:
            start += 1
        if sum(lengths[:head]) + sum(lengths[start:]) > room:
            raise TooLong(
                f"the message is {lengths[-1]:,} tokens, {self.client.name} reads {room:,} of a message; make it shorter"
            )
        while start > head and start < len(messages) - 1 and messages[start]["role"] != "user":
            start += 1
        return [*messages[:head], *messages[start:]], start - head

    @property
    def most_data(self) -> int:
        """Characters of a tool's result that the model can read beside the conversation."""
        return max(LEAST_DATA, min(MOST_DATA, self.client.max_tokens))

    def _json(
        self,
        messages: Sequence[Mapping[str, Any]],
        schema: Mapping[str, Any],
        request: Request,
        what: str,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> dict[str, Any]:
        params = replace(ARGUMENTS, json_schema=schema)
        reply = self.chat(self.seen(messages), params=params, tools=tools, request=request)
        try:
            found = orjson.loads(reply.text)  # no half of a surrogate pair, which no event can hold
        except ValueError:
            raise BadRequest(f"{reply.model} did not finish the arguments of {what}; say it more simply") from None
        assert isinstance(found, dict), "the schema is an object's"
        return found


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"][:20]))
    return str(schema.get("type", "any"))


def _function(tool: AssistantTool) -> dict[str, Any]:
    return _described(tool.name, untrusted.defused(tool.description)[:300], bounded(tool.parameters))


def _described(name: str, description: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}
