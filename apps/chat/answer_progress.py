"""An answer that is under way: what its events have brought so far."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from mmgen.pipelines.agent.reply import AssistantReply
from mmgen.pipelines.streaming import Event

from . import chat_html


@dataclass
class AnswerProgress:
    """Filled by `add`."""

    steps: list[dict[str, Any]] = field(default_factory=list)  # calls that are done
    images: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    doing: str = "Thinking"  # what is being done; "": the text grows
    reply: dict[str, Any] | None = None  # the message that the conversation keeps, when all is done

    def add(self, event: Event) -> None:
        """Of `Assistant.stream`."""
        value = event.value
        if event.kind == "call":
            self.doing = chat_html.call_text(value.tool, value.arguments)
        elif event.kind == "progress":
            self.doing = f"{value.text} {value.done} of {value.of}" if value.of else value.text
        elif event.kind == "result":
            self.steps, self.doing = [*self.steps, asdict(value)], "Thinking"
        elif event.kind == "image":
            self.images = [*self.images, asdict(value)]
        elif event.kind == "text":
            self.text, self.doing = self.text + value.text, ""
        elif event.kind == "reply":
            self.reply = kept(value)

    def html(self) -> str:
        return chat_html.running(self.steps, self.doing, self.text, self.images)

    def ended(self, **why: str) -> dict[str, Any]:
        """The message of an answer that ended before its time: stopped="user", or error="..."."""
        said = {"role": "assistant", "content": self.text, "steps": self.steps, "images": self.images, **why}
        return said | ({"untrusted": True} if self.text and self.steps and "stopped" in why else {})


def kept(reply: AssistantReply) -> dict[str, Any]:
    """A reply as a message of the conversation, with all that is shown of it."""
    said = dict(reply.messages[-1])
    names = ("steps", "citations", "pending")
    said |= {name: [asdict(one) for one in getattr(reply, name)] for name in names}
    said |= {
        "passages": list(reply.passages),
        "confidence": reply.confidence,
        "abstained": reply.abstained,
        "model": reply.model,
    }
    return said
