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
        """From chat_template.jinja, tokenizer_config.json or a GGUF file; empty where none has one."""
        if (file := gguf_checkpoint.find(folder)) is not None:
            return cls(gguf_tokenizer.chat_template(file), gguf_tokenizer.special_tokens(file))
        path = folder / "tokenizer_config.json"
        values = read_json(path) if path.is_file() else {}
        alone = folder / "chat_template.jinja"
        text = alone.read_text(encoding="utf-8") if alone.is_file() else _chosen(values.get("chat_template"))
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


def _chosen(told: Any) -> str:
    """One template, or the one called default of several."""
    if isinstance(told, list):
        told = {one["name"]: one["template"] for one in told}.get("default", "")
    return told or ""


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
