"""One turn of the assistant: a request is routed, tools run, and an answer is given, each step an event.

What others wrote - documents, pages, results of tools - has no say in which tool the router takes or what its arguments are:
both follow from the user's words. A model that has read such text may choose further calls, of the turn's own tools, and those
that write, send or cost then ask the user first.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmgen.engine.job import Request
from mmgen.errors import Cancelled, DeadlineExceeded, MmgenError, NotFound
from mmgen.pipelines.agent import untrusted
from mmgen.pipelines.agent.model_calls import ModelCalls
from mmgen.pipelines.agent.permissions import TurnLimits
from mmgen.pipelines.agent.reply import AssistantReply, AssistantStep
from mmgen.pipelines.agent.router import Route, Router
from mmgen.pipelines.agent.tool import AssistantCall, AssistantTool, ToolResult, TurnContext
from mmgen.pipelines.language import content_parts
from mmgen.pipelines.language.text_pipeline import Delta
from mmgen.pipelines.streaming import Event
from mmgen.pipelines.timings import Clock
from mmgen.text_params import TextParams

CLAUSE = re.compile(
    r"\s*(?:;|[,.]?\s+(?:and\s+)?then\b|\s+and\s+(?=(?:draw|paint|show|find|calculate|fetch|open|search)\b))\s*,?\s*", re.I
)
SURE = 0.5  # of a clause's route, for several calls in one message
BUILT_IN = ("docs", "images", "draw", "edit", "calc", "fetch")
LOOKED_UP = "I have looked it up."
Confirm = Callable[[AssistantCall], bool]


class LimitReached(Exception):
    """A limit of the turn's own; its argument says which."""


@dataclass
class AssistantTurn:
    """What a turn is given, and what it has come to."""

    context: TurnContext
    messages: list[Mapping[str, Any]]  # of the conversation, up to the user's last, or to a reply that waits for approval
    tools: Mapping[str, AssistantTool]
    router: Router
    model: ModelCalls
    params: TextParams
    limits: TurnLimits
    by_model: bool = False  # the language model chooses every call
    allow: frozenset[str] = frozenset()  # tools that run without asking
    approved: Sequence[AssistantCall] = ()
    confirm: Confirm | None = None
    steps: list[AssistantStep] = field(default_factory=list, init=False)
    results: list[tuple[AssistantCall, ToolResult]] = field(default_factory=list, init=False)
    pending: list[AssistantCall] = field(default_factory=list, init=False)
    texts: list[str] = field(default_factory=list, init=False)
    notes: list[str] = field(default_factory=list, init=False)
    stopped: str = field(default="", init=False)
    wrote: bool = field(default=False, init=False)
    clock: Clock = field(default_factory=Clock, init=False)

    @property
    def request(self) -> Request:
        return self.context.request

    @property
    def tainted(self) -> bool:
        """Whether others' text has come into the turn or the conversation."""
        return any(not result.trusted for _, result in self.results) or any(one.get("untrusted") for one in self.messages)

    def events(self) -> Iterator[Event]:
        """Every step, and at last "reply"."""
        try:
            yield from self._calls()
            yield from self._answer()
        except LimitReached as limit:
            self.stopped = str(limit)
        except DeadlineExceeded:
            if self.limits.timeout is None:
                raise
            self.stopped = "time"
        if self.stopped:
            yield from self._say(STOPPED[self.stopped])
        yield Event("reply", self._reply())

    def _calls(self) -> Iterator[Event]:
        planned = [(call, Route(call.tool, 1.0, "approved")) for call in self.approved]
        if not planned:
            for route, said in self._routes():
                yield Event("route", route)
                if route.tool is not None:
                    planned.append((self._filled(self.tools[route.tool], said), route))
        self.clock.lap("route")
        for call, route in planned:
            yield from self._step(call, route.why)
        while not self.pending and (more := self._further()):
            yield from self._step(more, "model")
        self.clock.lap("tools")

    def _routes(self) -> Iterator[tuple[Route, str]]:
        """Which calls the message asks for, each with the words that do."""
        offered = [name for name in BUILT_IN if name in self.tools]
        others = {name: tool.description for name, tool in self.tools.items() if name not in BUILT_IN}
        said = self.context.said
        if self.by_model or not self.tools:
            yield Route(None, 1.0, "model" if self.by_model else "rule"), said
            return
        parts = [part for part in CLAUSE.split(said) if part.strip()]
        if 1 < len(parts) <= max(1, self.limits.rounds):
            routes = [(self.router.route(part, offered, others, self.request), part) for part in parts]
            if all(route.tool and route.confidence >= SURE for route, _ in routes) and len({r.tool for r, _ in routes}) > 1:
                yield from routes
                return
        yield self.router.route(said, offered, others, self.request), said

    def _filled(self, tool: AssistantTool, said: str) -> AssistantCall:
        own = TurnContext(said, self.context.before, self.request, self.context.image, self.context.prompt)
        arguments = tool.proposed(own)
        if arguments is None:
            arguments = self.model.filled(tool, own)
            if tool.filled_note:
                self.notes.append(tool.filled_note)
        return AssistantCall.of(tool.name, arguments, "" if tool.name in self.allow else tool.asks(arguments, self.context))

    def _further(self) -> AssistantCall | None:
        """A call that the language model wants beside those that are done."""
        unsaid = any(result.answer is None for _, result in self.results)
        if not self.tools or (self.approved and not unsaid) or not (self.by_model or (unsaid and self.model.calls_by_itself)):
            return None
        if len(self.steps) >= self.limits.rounds:
            return None
        found = self.model.chosen(self._told(), list(self.tools.values()), self.request)
        if found is None or any(found == (step.call.tool, dict(step.call.arguments)) for step in self.steps):
            return None
        tool, asks = self.tools[found[0]], ""
        if tool.name not in self.allow:
            asks = tool.asks(found[1], self.context)
            if not asks and tool.acts and self.tainted:
                asks = "the model wants it after it read text that is not yours"
        return AssistantCall.of(*found, asks)

    def _step(self, call: AssistantCall, why: str) -> Iterator[Event]:
        """Runs a call, unless its user says no or has to be waited for."""
        self._check()
        if len(self.steps) >= self.limits.rounds:
            raise LimitReached("rounds")
        yield Event("call", call)
        if call.asks:
            if self.confirm is None:
                self.pending.append(call)
                yield Event("confirm", call)
                return
            if not self.confirm(call):
                self.steps.append(AssistantStep(call, "", 0.0, why, "declined"))
                yield Event("result", self.steps[-1])
                return
        began, result, error = time.perf_counter(), None, ""
        try:
            for event in self.tools[call.tool].run(call, self.context):
                self._check()
                if isinstance(event, ToolResult):
                    result = event
                else:
                    yield event
        except (Cancelled, DeadlineExceeded):
            raise
        except MmgenError as failed:
            error = str(failed)
            if not isinstance(failed, NotFound) or call.tool != "docs":  # without documents the model answers
                self.texts.append(error)
        took = (time.perf_counter() - began) * 1000
        self.steps.append(AssistantStep(call, result.summary if result else "", took, why, error))
        if result is not None:
            self.results.append((call, result))
            for image in result.images:
                yield Event("image", image)
        yield Event("result", self.steps[-1])

    def _answer(self) -> Iterator[Event]:
        failed, self.texts = self.texts, []
        number = 0
        for _, result in self.results:
            if result.answer is not None:
                marks = "".join(f"[{number + n}]" for n in range(1, len(result.citations) + 1))
                yield from self._say(f"{result.answer} {marks}".strip())
            number += len(result.citations)
        for text in [*failed, *(self.notes if self.results else ())]:
            yield from self._say(text)
        if any(result.answer is None for _, result in self.results) or not (self.texts or self.pending):
            yield from self._written()
        if self.pending:
            names = ", ".join(f"{call.tool} {_short(call.arguments)}" for call in self.pending)
            yield from self._say(f"To go on I need your permission to call {names}.")
        self.clock.lap("write")

    def _say(self, text: str) -> Iterator[Event]:
        yield Event("text", Delta(0, f"\n\n{text}" if self.texts else text))
        self.texts.append(text)

    def _written(self) -> Iterator[Event]:
        told, left = self.model.fitting(self._told())
        if left:
            yield Event(
                "note", f"The {left} oldest messages are left out: the model reads {self.model.client.max_tokens:,} tokens."
            )
        self.wrote, begun = True, bool(self.texts)
        self.texts.append("")
        for event in self.model.written(told, self.params, self.request):
            self._check()
            if event.kind == "text":
                self.texts[-1] += event.value.text
                yield Event("text", Delta(0, f"\n\n{event.value.text}")) if begun else event
                begun = False
        self.texts[-1] = self.texts[-1].strip()

    def _told(self) -> list[Mapping[str, Any]]:
        """The conversation as the language model reads it: others' text between marks, behind the user's words."""
        mark, most = untrusted.nonce(), self.model.most_data
        messages = self._parted(mark, most)
        blocks = [
            untrusted.marked(result.text, f"the tool {call.tool}", mark, most // max(1, len(self.results)))
            for call, result in self.results
            if result.text
        ]
        if blocks:
            last = messages[-1]
            content = last["content"] if isinstance(last["content"], str) else self.context.said
            messages[-1] = {**last, "content": "\n\n".join([content, *blocks])}
        if blocks or any(one.get("untrusted") for one in self.messages):
            rule = untrusted.rule(mark)
            if messages[0]["role"] == "system":
                messages[0] = {**messages[0], "content": f"{messages[0]['content']}\n\n{rule}"}
            else:
                messages.insert(0, {"role": "system", "content": rule})
        return messages

    def _parted(self, mark: str, most: int) -> list[Mapping[str, Any]]:
        """The messages, with others' text in earlier replies moved between marks into what the user says next."""
        messages, carried = list[Mapping[str, Any]](), list[str]()
        for one in self.messages[: len(self.messages) - (self.messages[-1]["role"] == "assistant")]:
            if one.get("untrusted"):
                carried.append(untrusted.marked(str(one["content"]), "the reply before", mark, most))
                one = {"role": "assistant", "content": LOOKED_UP}
            elif carried and one["role"] == "user":
                said = one["content"] if isinstance(one["content"], str) else content_parts.text(one["content"])
                one, carried = {**one, "content": "\n\n".join([*carried, said])}, []
            messages.append(one)
        return messages

    def _check(self) -> None:
        self.request.check("while the assistant was at work")
        if self.limits.device_s is not None and self.request.device_ms > self.limits.device_s * 1000:
            raise LimitReached("cost")

    def _reply(self) -> AssistantReply:
        text = "\n\n".join(part for part in self.texts if part)
        before = list(self.messages)
        if self.approved and before[-1]["role"] == "assistant":
            before.pop()
        results = [result for _, result in self.results]
        images = [image for result in results for image in result.images]
        said: dict[str, Any] = {"role": "assistant", "content": text}
        if self.tainted:
            said["untrusted"] = True
        if images:
            said["images"] = [dict(vars(image)) for image in images]
        sure = [result.confidence for result in results if result.confidence is not None]
        return AssistantReply(
            text,
            steps=self.steps,
            citations=[one for result in results for one in result.citations],
            passages=[one for result in results for one in result.passages],
            images=images,
            pending=self.pending,
            confidence=min(sure) if sure else None,
            abstained=any(result.abstained for result in results),
            stopped=self.stopped,
            messages=(*before, said),
            model=self.model.reference if self.wrote else "",
            request_id=self.request.id,
            timings=self.clock.laps(),
            device_ms=self.request.device_ms,
        )


STOPPED = {
    "rounds": "Stopped: this turn has made as many calls as it may.",
    "time": "Stopped: this turn has taken as long as it may.",
    "cost": "Stopped: this turn has used as much of the device as it may.",
}


def _short(arguments: Mapping[str, Any]) -> str:
    return "(" + ", ".join(f"{name}={str(value)[:60]!r}" for name, value in arguments.items()) + ")"
