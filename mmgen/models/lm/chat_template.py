"""A checkpoint's own way to write a conversation as one text. Knows messages and Jinja; not tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mmgen.errors import BadRequest
from mmgen.models.checkpoints import gguf_checkpoint, gguf_tokenizer
from mmgen.models.checkpoints.safetensors_io import read_json

SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class ChatTemplate:
    """A Jinja template, run in a sandbox as transformers runs it: it comes with the weights and is nobody's to trust."""

    def __init__(self, text: str, tokens: Mapping[str, str]) -> None:
        self.text, self.tokens = text, dict(tokens)
        self._compiled: Any = None

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
        return re.search(r"\btools\b", self.text) is not None

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        """`messages`: role and content each. Raises BadRequest where the template refuses them."""
        from jinja2 import TemplateError

        if self._compiled is None:
            self._compiled = _compiled(self.text)
        try:
            return str(
                self._compiled.render(
                    messages=[dict(message) for message in messages],
                    tools=tools,
                    documents=None,
                    add_generation_prompt=add_generation_prompt,
                    **self.tokens,
                )
            )
        except (TemplateError, TypeError) as why:
            raise BadRequest(f"the model's chat template refuses this conversation ({why})") from None


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
