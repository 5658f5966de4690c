"""What the assistant returns: its text, the steps that led to it, what they brought, and calls that wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mmgen.pipelines.agent.tool import AssistantCall, ShownImage
from mmgen.pipelines.rag.answer import Citation


@dataclass(frozen=True)
class AssistantStep:
    """A call as it went: the value of a "result" event."""

    call: AssistantCall
    summary: str  # what it brought, in a line
    ms: float
    why: str = ""  # how it was chosen, as `Route.why`
    error: str = ""  # why it brought nothing

    def __str__(self) -> str:
        given = ", ".join(f"{name}: {str(value)[:80]}" for name, value in self.call.arguments.items())
        return f"{self.call.tool} ({given}) -> {self.error or self.summary}, {self.ms:.0f} ms"


@dataclass(frozen=True)
class AssistantReply:
    """What `assistant` returns."""

    text: str
    steps: list[AssistantStep] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)  # [1] in the text is the first
    passages: list[str] = field(default_factory=list, repr=False)  # the text of each citation's passage
    images: list[ShownImage] = field(default_factory=list)
    pending: list[AssistantCall] = field(default_factory=list)  # calls that wait for approval
    confidence: float | None = None  # of an answer from documents
    abstained: bool = False
    stopped: str = ""  # the limit that ended it: rounds, time or cost; "": it ended by itself
    messages: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)  # the conversation with this reply
    model: str = ""  # the language model that wrote some of the text; "": none did
    request_id: str = ""
    timings: dict[str, float] = field(default_factory=dict, repr=False)  # milliseconds: route, tools, write, total
    device_ms: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        lines = [self.text]
        lines += [f'  [{number}] "{one.quote}" - {one}' for number, one in enumerate(self.citations, 1)]
        lines += [f"  image: {one.name}" for one in self.images]
        lines += [f"  waits for approval: {one.tool} {dict(one.arguments)} ({one.asks})" for one in self.pending]
        return "\n".join(lines)
