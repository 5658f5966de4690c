"""A checkpoint's own way to write a conversation as one text. Knows messages and Jinja; not tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from mmgen.errors import BadRequest
from mmgen.models.checkpoints import gguf_checkpoint, gguf_tokenizer
from mmgen.models.checkpoints.safetensors_io import read_json

TAKEN = frozenset({"messages", "tools", "documents", "add_generation_prompt"})
"""Variables of a template that are no caller's to set by name."""
END = "\ue000end of the message\ue000 "
"""Stands behind the last message while a template renders it, to find that place again; a template may trim the space."""
SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class ChatTemplate:
    """A Jinja template, run in a sandbox as transformers runs it: it comes with the weights and is nobody's to trust."""

    def __init__(self, text: str, tokens: Mapping[str, str]) -> None:
        self.text, self.tokens = text, dict(tokens)

    @classmethod
    def of(cls, folder: Path) -> ChatTemplate:
        """From chat_template.jinja, tokenizer_config.json, chat_template.json or a GGUF file; empty where none has one.

        Of several named ones `tool_use` is for conversations with tools, `default` for all others.
        """
        if (file := gguf_checkpoint.find(folder)) is not None:
            return cls(gguf_tokenizer.chat_template(file), gguf_tokenizer.special_tokens(file))
        path = folder / "tokenizer_config.json"
        values = read_json(path) if path.is_file() else {}
        text = _chosen(_templates(folder, values))
        told = {key: values[key] for key in SPECIAL if values.get(key) is not None}
        return cls(text, {key: one if isinstance(one, str) else one["content"] for key, one in told.items()})

    def __bool__(self) -> bool:
        return bool(self.text)

    @property
    def takes_tools(self) -> bool:
        """Whether it says which functions there are, and knows messages that call them or bring their results."""
        return self.reads("tools")

    def reads(self, variable: str) -> bool:
        """Whether it makes use of a variable, such as enable_thinking."""
        return re.search(rf"\b{re.escape(variable)}\b", self.text) is not None

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, Any] = {},
        continue_final_message: bool = False,
    ) -> str:
        """The conversation as one text.

        Args:
            messages: role and content each; arguments of calls are objects.
            variables: what the template is given beside the messages, such as enable_thinking.
            continue_final_message: the text ends within the last message, which is to go on; as in transformers.

        Raises BadRequest where the template refuses the messages, or knows no such variable.
        """
        self.check(variables)
        if continue_final_message:
            *before, last = messages
            messages = [*before, {**last, "content": f"{last['content']}{END}"}]
            add_generation_prompt = False
        more = {"tools": tools, "documents": None, "add_generation_prompt": add_generation_prompt, **self.tokens, **variables}
        text = self._rendered([dict(message) for message in messages], more)
        return _until(text) if continue_final_message else text

    def check(self, variables: Mapping[str, Any]) -> None:
        """Raises BadRequest for a variable that it does not know."""
        if unknown := [name for name in variables if not self.reads(name) or name in TAKEN]:
            known = ", ".join(sorted(self.variables)) or "none"
            raise BadRequest(f"the model's chat template has no variable {unknown[0]!r} to set; it has {known}")

    def _rendered(self, messages: list[dict[str, Any]], more: Mapping[str, Any]) -> str:
        from jinja2 import TemplateError

        try:
            try:
                return str(self._compiled.render(messages=messages, **more))
            except TypeError:  # DeepSeek's template puts arguments together with other text
                return str(self._compiled.render(messages=[_with_text(message) for message in messages], **more))
        except (TemplateError, TypeError) as why:
            raise BadRequest(f"the model's chat template refuses this conversation ({why})") from None

    @cached_property
    def _compiled(self) -> Any:
        return _compiled(self.text)

    @cached_property
    def variables(self) -> frozenset[str]:
        """What a caller can set beside messages and tools."""
        from jinja2 import meta

        environment = self._compiled.environment
        found = frozenset(meta.find_undeclared_variables(environment.parse(self.text)))
        return found - TAKEN - frozenset(environment.globals) - frozenset(SPECIAL)


def _with_text(message: dict[str, Any]) -> dict[str, Any]:
    """A message whose calls have their arguments as JSON text."""
    if not message.get("tool_calls"):
        return message
    calls = [
        {**call, "function": {**call["function"], "arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False)}}
        for call in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}


def _until(text: str) -> str:
    """What stands before the end of the last message; without its last spaces where the template takes them away."""
    at = text.rfind(END.strip())
    if at < 0:
        raise BadRequest("the model's chat template leaves the last message out, so that it cannot go on; leave it open")
    return text[:at] if text.startswith(END, at) else text[:at].rstrip()


def _templates(folder: Path, values: Mapping[str, Any]) -> Mapping[str, str]:
    """Name -> template. `values`: tokenizer_config.json."""
    alone, processor = folder / "chat_template.jinja", folder / "chat_template.json"
    if alone.is_file():
        more = {path.stem: path for path in (folder / "additional_chat_templates").glob("*.jinja")}
        return {name: path.read_text(encoding="utf-8") for name, path in {**more, "default": alone}.items()}
    told = values.get("chat_template")
    if not told and processor.is_file():
        told = read_json(processor).get("chat_template")
    if isinstance(told, list):
        return {one["name"]: one["template"] for one in told}
    return told if isinstance(told, dict) else {"default": told or ""}


def _chosen(named: Mapping[str, str]) -> str:
    """One template of all that are named, which chooses as transformers does."""
    default, tools = (named.get(name, "").removesuffix("\n") for name in ("default", "tool_use"))
    if not (default and tools):
        return default
    nothing = "{{ '' }}"  # keeps spaces and line breaks at the borders, which a tag beside them would take away
    return f"{{% if tools is not none %}}{nothing}{tools}{nothing}{{% else %}}{nothing}{default}{nothing}{{% endif %}}"


def _compiled(text: str) -> Any:
    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class GenerationDefaults(Extension):
        """`{% generation %}` marks what an assistant wrote, for training; here it is just its text."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    def tojson(value: Any, **more: Any) -> str:
        return json.dumps(value, **{"ensure_ascii": False, **more})

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationDefaults, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    try:
        return environment.from_string(text)
    except jinja2.TemplateError as why:
        raise BadRequest(f"the model's chat template cannot be read ({why}); give one that Jinja understands") from None
