"""chat: a conversation gets its next message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.params import takes
from mmgen.pipelines.language import tool_calls as functions
from mmgen.pipelines.language.text_pipeline import Completion, Prompt, TextPipeline
from mmgen.pipelines.streaming import Event
from mmgen.text_params import TextParams

if TYPE_CHECKING:
    from mmgen.clients.text import TextClient
    from mmgen.runtime import Runtime

ROLES = {"system": "", "user": "User: ", "assistant": "Assistant: ", "tool": "Tool: "}
KEPT = ("role", "content", "tool_calls", "tool_call_id", "name")
NEXT = "\nUser:"
"""What a model without a chat template would go on with, in the user's stead."""


@dataclass(frozen=True)
class Reply(Completion):
    """What `chat` returns."""

    messages: tuple[Mapping[str, Any], ...] = ()  # the conversation with this reply: the next call can begin with it


class Chat(TextPipeline[Reply]):
    """Talk with a language model."""

    last = "reply"

    def __init__(
        self,
        rt: Runtime,
        *,
        model: str | None = None,
        draft: str | None = None,
        adapter: str | None = None,
        system: str = "",
    ) -> None:
        """Opens nothing yet.

        model: what answers: embedded:NAME, a folder or a repo id, with #int8 or #bf16 behind it if need be.
        draft: a smaller model of the same family that guesses ahead; what is written does not change.
        adapter: a LoRA adapter of the model: a folder as PEFT and mmgen train sft write it.
        system: what the model is told before the conversation.
        """
        super().__init__(rt, model=model, draft=draft, adapter=adapter)
        self.system = system

    @takes(TextParams, leave_out=("typical_p", "beams", "length_penalty", "early_stopping"), temperature=0.7, top_p=0.95)
    def stream(
        self,
        message: str | Sequence[Mapping[str, Any]],
        params: TextParams,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        request: Request | None = None,
    ) -> Iterator[Event]:
        """Answers in the words of the model's own chat template, or as "User:" and "Assistant:" where it has none.

        message: what to say; from Python also a whole conversation, as a list of {"role": ..., "content": ...}.
        tools: functions that the model is told of, as OpenAI's API describes them; how it calls them stands in the answer.

        Raises BadRequest for a value out of its range or a conversation that is none, TooLong for more tokens than the model
        holds, NotFound for a model that is not here, BadWeights for a damaged one.
        """
        messages = conversation(message, self.system)

        def answer(completion: Completion) -> Reply:
            said = {"role": "assistant", "content": completion.text.strip()}
            return Reply(**vars(completion), messages=(*messages, said))

        return self.write(lambda client: written(client, messages, tools), params, request, answer)


def conversation(given: str | Sequence[Mapping[str, Any]], system: str = "") -> list[dict[str, Any]]:
    """Messages that end with the user's or a tool's, behind the system's. Raises BadRequest for what is no conversation."""
    said = [{"role": "user", "content": given}] if isinstance(given, str) else given
    for one in said if isinstance(said, Sequence) else [said]:
        if not isinstance(one, Mapping) or one.get("role") not in ROLES or not _says(one):
            raise BadRequest(f"message {one!r} is none; give a role ({', '.join(ROLES)}) and a content")
    messages = [{key: one[key] for key in KEPT if key in one} for one in said]
    if (
        not messages
        or messages[-1]["role"] == "assistant"
        or not (messages[-1]["content"].strip() or messages[-1]["role"] == "tool")
    ):
        raise BadRequest("there is no message to answer; say something")
    if system and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": system})
    return messages


def _says(message: Mapping[str, Any]) -> bool:
    """A content, or calls of tools."""
    return isinstance(message.get("content"), str) or (message["role"] == "assistant" and bool(message.get("tool_calls")))


def written(
    client: TextClient, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None
) -> Prompt:
    """The conversation as the model reads it, up to where it answers."""
    if not client.model.template.takes_tools:
        messages, tools = functions.in_words(messages, tools or ()), None
    if client.model.template:
        return Prompt(client.model.render_chat(messages, tools=tools), client.model.encode_chat(messages, tools))
    lines = [ROLES[one["role"]] + one["content"].strip() for one in messages]
    text = "\n".join([*lines, "Assistant:"])
    return Prompt(text, client.model.encode(text), (NEXT,))
