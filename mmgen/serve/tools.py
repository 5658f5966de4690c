"""Functions that a chat may call: what is offered, what the answer has to be, and the calls in it. Knows one answer's text."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from mmgen.errors import BadRequest, nearest
from mmgen.models.lm.detokenizer import Stops
from mmgen.pipelines.language import tool_calls as written
from mmgen.serve.openai_fields import OpenAIBody


class Function(OpenAIBody):
    name: str = Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(OpenAIBody):
    type: Literal["function"]
    function: Function


class Tools:
    """What is offered. `choice`: none, auto, required, or where `named` the one function that is to be called."""

    def __init__(self, offered: Sequence[Tool], choice: str, named: bool = False) -> None:
        """Raises BadRequest for a choice that is not among them."""
        self.names = [tool.function.name for tool in offered]
        if named and choice not in self.names:
            raise BadRequest(
                f'tool_choice names "{choice[:64]}"; tools has no function of that name{nearest(choice[:64], self.names)}'
            )
        if choice == "required" and not named and not offered:
            raise BadRequest("tool_choice is required, and there are no tools; give some")
        taken = (
            [] if choice == "none" and not named else [tool for tool in offered if not named or tool.function.name == choice]
        )
        self.offered = [tool.model_dump(exclude_none=True) for tool in taken]
        self.named, self.forced = named, named or choice == "required"

    def told(self) -> list[dict[str, Any]]:
        """For the prompt."""
        return self.offered

    def schema(self) -> dict[str, Any] | None:
        """What the whole answer has to follow; None: it is free. Where one is named it writes the arguments alone."""
        if not self.forced:
            return None
        return dict(written.parameters(self.offered[0])) if self.named else written.schema(self.offered)

    def read(self, text: str) -> tuple[str | None, list[dict[str, Any]]]:
        """An answer's content and the calls in it."""
        if not self.offered:
            return text, []
        if self.named:
            return None, [_call(self.names_offered[0], text)]
        content, calls = written.found(text, self.names_offered)
        called = [_call(name, _sayable(json.dumps(given, ensure_ascii=False))) for name, given in calls]
        return content if content or not calls else None, called

    def reason(self, reason: str, called: Sequence[Any]) -> str:
        """Why it ended; a call that had to be is no reason, as OpenAI has it."""
        return "tool_calls" if called and reason == "stop" and not self.named else reason

    @property
    def names_offered(self) -> list[str]:
        return [tool["function"]["name"] for tool in self.offered]


def _sayable(text: str) -> str:
    """Without halves of surrogate pairs, which a model can write as escapes and no answer can hold."""
    return text.encode("utf-8", "replace").decode()


def _call(name: str, arguments: str) -> dict[str, Any]:
    return {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": {"name": name, "arguments": arguments}}


class ToolCallParser:
    """One answer as it is written: what can be told at once, as it can no longer become a call."""

    def __init__(self, tools: Tools) -> None:
        self.tools = tools
        self.text = self.content = ""
        self._stops = Stops(written.OPENINGS)

    def push(self, piece: str) -> str:
        self.text += piece
        if not self.tools.offered:
            self.content += piece
            return piece
        if self.tools.forced or self.text.lstrip()[:1] in ("", "{"):
            return ""
        fresh = self._stops.push(self.text if not (self.content or self._stops.held or self._stops.found) else piece)
        self.content += fresh
        return fresh

    def end(self) -> tuple[str, list[dict[str, Any]]]:
        """The rest of the content, and the calls."""
        content, calls = self.tools.read(self.text)
        rest = (content or "")[len(self.content) :]
        self.content += rest
        return rest, calls
