"""chat: a conversation gets its next message."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mmgen.engine.job import Request
from mmgen.errors import BadRequest, TooLong
from mmgen.params import takes
from mmgen.pipelines.language import content_parts, reasoning
from mmgen.pipelines.language import tool_calls as functions
from mmgen.pipelines.language.text_pipeline import Completion, Delta, Prompt, TextPipeline
from mmgen.pipelines.streaming import Event
from mmgen.registry import one_line
from mmgen.text_params import TextParams

if TYPE_CHECKING:
    from mmgen.clients.text import TextClient
    from mmgen.runtime import Runtime

ROLES = {"system": "", "user": "User: ", "assistant": "Assistant: ", "tool": "Tool: "}
KEPT = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name")
EXAMPLE = '{"enable_thinking": false}'
NEXT = "\nUser:"
"""What a model without a chat template would go on with, in the user's stead."""


@dataclass(frozen=True)
class Reply(Completion):
    """What `chat` returns."""

    messages: tuple[Mapping[str, Any], ...] = ()  # the conversation with this reply: the next call can begin with it
    reasoning: list[str] | None = None  # of a model that thinks before it answers, for each of its texts


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
        adapter: of the model, as PEFT and mmgen train sft write it: a folder, or a repo id.
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
        think: bool | None = None,
        chat_template_kwargs: str | Mapping[str, Any] | None = None,
        continue_final_message: bool = False,
        parse_special: bool = False,
        request: Request | None = None,
    ) -> Iterator[Event]:
        """Answers in the words of the model's own chat template, or as "User:" and "Assistant:" where it has none.

        message: what to say; from Python also a whole conversation, as a list of {"role": ..., "content": ...}. A content may
            be a list of {"type": "text", "text": ...} and {"type": "image", "image": a file or an opened image}.
        tools: functions that the model is told of, as OpenAI's API describes them; how it calls them stands in the answer.
        think: whether a model that can think before it answers does so; the default is the model's own.
        chat_template_kwargs: variables of the model's chat template as a JSON object, such as {"reasoning_effort": "low"}.
        continue_final_message: the last message is the assistant's, and goes on where it ends.
        parse_special: control tokens that are written in a message, such as <|im_end|>, count as such; otherwise they are text.

        Raises BadRequest for a value out of its range or a conversation that is none, TooLong for more tokens than the model
        holds, NotFound for a model that is not here, BadWeights for a damaged one.
        """
        messages = conversation(message, self.system, continue_final_message)
        variables = template_variables(chat_template_kwargs)
        prompts = list[Prompt]()

        def prompt(client: TextClient) -> Prompt:
            own = variables | thinking(client, think)
            prompts.append(written(client, messages, tools, own, continue_final_message, parse_special))
            return prompts[0]

        def answer(completion: Completion) -> Reply:
            both = [reasoning.split(text, prompts[0].reasoning, prompts[0].text) for text in completion.texts]
            texts = [text for _, text in both]
            thoughts = [thought for thought, _ in both] if prompts[0].reasoning else None
            said = {"role": "assistant", "content": texts[0].strip()}
            before = messages
            if continue_final_message:
                said, before = {**messages[-1], "content": messages[-1]["content"] + texts[0]}, messages[:-1]
            if thoughts and thoughts[0]:
                said["reasoning_content"] = thoughts[0]
            return Reply(**{**vars(completion), "texts": texts}, messages=(*before, said), reasoning=thoughts)

        heard = dict[int, reasoning.ReasoningParser]()
        images = any(content_parts.images(message["content"]) for message in messages)
        for event in self.write(prompt, params, request, answer, images=images):
            if event.kind == "text" and prompts[0].reasoning:
                event = _told_apart(event.value, heard, prompts[0])
            elif event.kind == self.last:
                yield from _rests(heard)
            yield event


def _told_apart(delta: Delta, heard: dict[int, reasoning.ReasoningParser], prompt: Prompt) -> Event:
    """A "text" event whose reasoning and answer are apart."""
    parser = heard.setdefault(delta.index, reasoning.ReasoningParser(prompt.reasoning, prompt.text))
    thought, text = parser.push(delta.text)
    return Event("text", replace(delta, text=text, reasoning=thought))


def _rests(heard: Mapping[int, reasoning.ReasoningParser]) -> Iterator[Event]:
    for index, parser in heard.items():
        thought, text = parser.flush()
        if thought or text:
            yield Event("text", Delta(index, text, reasoning=thought))


def conversation(
    given: str | Sequence[Mapping[str, Any]], system: str = "", continue_final_message: bool = False
) -> list[dict[str, Any]]:
    """Messages that end with the user's or a tool's, behind the system's. Raises BadRequest for what is no conversation.

    `continue_final_message`: they end with the assistant's.
    """
    said = [{"role": "user", "content": given}] if isinstance(given, str) else given
    for one in said if isinstance(said, Sequence) else [said]:
        if not isinstance(one, Mapping) or one.get("role") not in ROLES or not _says(one):
            raise BadRequest(f"message {one!r} is none; give a role ({', '.join(ROLES)}) and a content")
    messages = [_plain(one) for one in said]
    if continue_final_message:
        if not (messages and messages[-1]["role"] == "assistant" and messages[-1]["content"]):
            raise BadRequest(
                "continue_final_message is set, and the last message is not the assistant's; give what it begins with"
            )
    elif (
        not messages
        or messages[-1]["role"] == "assistant"
        or not (content_parts.text(messages[-1]["content"]).strip() or messages[-1]["role"] == "tool")
    ):
        raise BadRequest("there is no message to answer; say something")
    if system and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": system})
    return messages


def _says(message: Mapping[str, Any]) -> bool:
    """A content; an assistant's may be empty."""
    content = message.get("content", 0)
    return isinstance(content, str | list | tuple) or (message["role"] == "assistant" and content is None)


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """What models and templates read of a message: a content, and arguments of calls as objects."""
    content = content_parts.read(message.get("content") or "", message["role"])
    out = {key: message[key] for key in KEPT if key in message} | {"content": content}
    if out.get("tool_calls"):
        out["tool_calls"] = [{**call, "function": _function(call["function"])} for call in out["tool_calls"]]
    return out


def _function(called: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments are JSON text in OpenAI's API; what is no JSON stays as it is."""
    try:
        arguments = json.loads(called["arguments"]) if isinstance(called["arguments"], str) else called["arguments"]
    except (ValueError, RecursionError):
        arguments = called["arguments"]
    return {**called, "arguments": arguments}


def template_variables(given: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """Of a chat template, as an object or as JSON."""
    try:
        values = json.loads(given) if isinstance(given, str) else given or {}
    except (ValueError, RecursionError) as why:
        raise BadRequest(f"chat_template_kwargs is no JSON ({one_line(why)}); write an object such as {EXAMPLE}") from None
    if not isinstance(values, Mapping):
        raise BadRequest(f"chat_template_kwargs is {given!r}; write an object such as {EXAMPLE}")
    return dict(values)


def thinking(client: TextClient, think: bool | None) -> dict[str, Any]:
    """The template's variable that switches thinking on or off. Raises BadRequest where it has none."""
    if think is None:
        return {}
    if not (switch := reasoning.switch(client.model.template, think)):
        raise BadRequest(f"think is {think}, and the chat template of {client.name} has no switch for it; leave it out")
    return switch


def written(
    client: TextClient,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None = None,
    variables: Mapping[str, Any] = {},
    continue_final_message: bool = False,
    parse_special: bool = False,
) -> Prompt:
    """The conversation as the model reads it, up to where it answers. Arguments as of `TextModel.chat_prompt`."""
    template, eyes = client.model.template, client.eyes
    if eyes is None and any(content_parts.images(message["content"]) for message in messages):
        raise BadRequest(
            f"{client.name} reads text alone and sees no images; leave them out, or take a vision-language model, such as "
            "Qwen/Qwen2.5-VL-3B-Instruct"
        )
    if len(messages) > client.max_tokens:
        raise TooLong(f"there are {len(messages):,} messages, the model reads {client.max_tokens:,} tokens; leave some out")
    client.model.check_length(*(content_parts.text(message["content"]) for message in messages))
    marks, calls = reasoning.markers(template.text), functions.CONTROL if tools else ()
    if not template.takes_tools:
        messages, tools = functions.in_words(messages, tools or ()), None
    if eyes is not None:
        told = eyes.chat_inputs(messages, tools, variables, continue_final_message, parse_special)
        shown = _shown(client, (*marks, *calls)) | eyes.places
        return Prompt(told.text, told.ids, shown=shown, reasoning=marks, seen=told.seen)
    if template:
        text, ids = client.model.chat_prompt(messages, tools, variables, continue_final_message, parse_special)
        return Prompt(text, ids, shown=_shown(client, (*marks, *calls)), reasoning=marks)
    if variables:
        raise BadRequest(f"{client.name} has no chat template, so that {next(iter(variables))} has no effect; leave it out")
    lines = [ROLES[one["role"]] + one["content"].strip() for one in messages]
    text = "\n".join([*lines, *([] if continue_final_message else ["Assistant:"])])
    return Prompt(text, client.model.encode(text), (NEXT,))


def _shown(client: TextClient, marks: Sequence[str]) -> frozenset[int]:
    """Of these marks the control tokens, which are part of the text."""
    control = client.model.tokenizer.control
    return frozenset(control[mark] for mark in marks if mark in control)
