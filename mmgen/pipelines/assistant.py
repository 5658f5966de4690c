"""assistant: a conversation with a language model that has tools: documents, images, arithmetic, web pages, MCP servers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.params import takes
from mmgen.pipelines.agent.mcp_tools import McpConnections
from mmgen.pipelines.agent.model_calls import ModelCalls
from mmgen.pipelines.agent.permissions import TurnLimits, approved_calls, switches
from mmgen.pipelines.agent.reply import AssistantReply
from mmgen.pipelines.agent.router import Router
from mmgen.pipelines.agent.tool import AssistantCall, TurnContext
from mmgen.pipelines.agent.toolbox import Toolbox
from mmgen.pipelines.agent.turn import AssistantTurn
from mmgen.pipelines.chat import conversation
from mmgen.pipelines.language import content_parts
from mmgen.pipelines.streaming import Event, StreamingPipeline
from mmgen.text_params import TextParams

if TYPE_CHECKING:
    from mmgen.runtime import Runtime

Chooser = Literal["auto", "model"]
LEFT_OUT = (
    "typical_p", "beams", "length_penalty", "early_stopping", "n", "regex", "json_schema", "prompt_logprobs", "lookup",
    "logprobs", "logit_bias", "strategy", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty",
)  # fmt: skip


class Assistant(StreamingPipeline[AssistantReply]):
    """Chat with tools: your documents, your images, drawing, arithmetic, web pages, MCP servers."""

    command_line = "mmgen.cli.assistant:command"
    priority = "interactive"

    def __init__(
        self,
        rt: Runtime,
        *,
        model: str | None = None,
        store: str | None = None,
        image_model: str | None = None,
        mcp: Sequence[str] = (),
        system: str = "",
        connections: McpConnections | None = None,
    ) -> None:
        """Opens nothing yet.

        model: the language model: embedded:NAME, a folder or a repo id.
        store: name or path of the store whose documents and images are asked.
        image_model: what draws: embedded:NAME, a folder, a single safetensors file or a repo id.
        mcp: a Model Context Protocol server whose tools may be called: the URL of its endpoint, or a command. Several may be
            given.
        system: what the language model is told before the conversation.
        connections: of several assistants to the same MCP servers.
        """
        self.rt, self.system = rt, system
        self.model, self.router = ModelCalls(rt, model), Router(rt)
        self.toolbox = Toolbox(rt, store, image_model, [mcp] if isinstance(mcp, str) else list(mcp), connections)

    @takes(TextParams, leave_out=LEFT_OUT, temperature=0.7, top_p=0.95)
    def stream(
        self,
        message: str | Sequence[Mapping[str, Any]],
        params: TextParams,
        *,
        tools: Sequence[str] | None = None,
        allow: Sequence[str] = (),
        approved: Sequence[Mapping[str, Any]] = (),
        confirm: Callable[[AssistantCall], bool] | None = None,
        router: Chooser = "auto",
        rounds: int = 4,
        timeout: float | None = None,
        device_s: float | None = None,
        request: Request | None = None,
    ) -> Iterator[Event]:
        """Answers, with calls of tools where the message needs them.

        message: what to say; from Python also a whole conversation, as of `chat`, whose replies may have `images` as they were
            returned.
        tools: which of docs, images, draw, calc, fetch and mcp this turn may use; the default is all but fetch.
        allow: tools that run without asking, by name; others that write or send ask first.
        approved: pending calls that the user approved, as {"tool": ..., "arguments": ...}, with the conversation as it was
            returned.
        confirm: asks the user; without it a call that has to be asked for ends the turn and is returned as pending.
        router: auto decides by rules and a trained classifier; model lets the language model choose every call.
        rounds: calls that a turn may make at most.
        timeout: seconds that a turn may take at most.
        device_s: seconds of the device that a turn may use at most.

        Events: "route" with a `Route`; for each call "call" and, where the user is asked, "confirm", both with an
        `AssistantCall`, then "progress" with a `ToolProgress`, "image" with a `ShownImage` and "result" with an
        `AssistantStep`; "note", a line to be told; "text" with a `Delta`; and at last "reply".

        Raises BadRequest for a value out of its range or a conversation that is none, Forbidden for an approved call of a tool
        that is switched off, NotFound for a model or an MCP server that is not there. What a tool raises is told as the step's
        error, and in the answer.
        """
        limits = TurnLimits(rounds, timeout, device_s)
        request = request or Request.new(priority=self.priority)
        if timeout is not None:
            ends = time.monotonic() + timeout
            request.deadline = ends if request.deadline is None else min(ends, request.deadline)
        if router not in ("auto", "model"):
            raise BadRequest(f"router is {router!r}; it can be auto or model")
        messages, last = self._conversation(message, bool(approved))
        found = self.toolbox.tools(switches(tools, bool(self.toolbox.mcp.servers)), request)
        image, prompt = last_image(message)
        context = TurnContext(content_parts.text(messages[last]["content"]), messages[:last], request, image, prompt)
        turn = AssistantTurn(
            context,
            messages,
            found,
            self.router,
            self.model,
            params,
            limits,
            by_model=router == "model",
            allow=frozenset([allow] if isinstance(allow, str) else allow),
            approved=approved_calls(approved, found),
            confirm=confirm,
        )
        return turn.events()

    def close(self) -> None:
        self.toolbox.close()

    def _conversation(self, given: str | Sequence[Mapping[str, Any]], goes_on: bool) -> tuple[list[Mapping[str, Any]], int]:
        """The messages, marked where they hold others' text, and the place of the user's last."""
        said = [{"role": "user", "content": given}] if isinstance(given, str) else list(given)
        after = goes_on and len(said) > 1 and isinstance(said[-1], Mapping) and said[-1].get("role") == "assistant"
        checked = conversation(said[:-1] if after else said, self.system)
        if checked[-1]["role"] != "user":
            raise BadRequest("the last message is not the user's; end the conversation with what is asked")
        head = len(checked) - (len(said) - after)  # the system's message that was put before
        for message, one in zip(checked[head:], said, strict=False):
            if one.get("untrusted"):
                message["untrusted"] = True
            if one.get("images"):
                message["images"] = one["images"]
        return [*checked, *([said[-1]] if after else [])], len(checked) - 1


def last_image(given: Any) -> tuple[Any, str]:
    """The conversation's last image, and the prompt that drew it: of a user's message, or of a reply."""
    for message in reversed([] if isinstance(given, str) else list(given)):
        for one in reversed(list(message.get("images") or ())):
            from mmgen.pipelines.agent.tool import ShownImage

            shown = one if isinstance(one, ShownImage) else ShownImage(**one)
            return shown.image, shown.prompt
        content = message.get("content")
        if found := content_parts.images(content_parts.read(content or "", str(message.get("role")))):
            return found[-1], ""
    return None, ""
