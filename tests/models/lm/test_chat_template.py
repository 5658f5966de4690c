"""Conversations as transformers renders them, from each place where a checkpoint keeps its template."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from mmgen.errors import BadRequest
from mmgen.models.lm.chat_template import ChatTemplate

PLAIN = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"
TEMPLATES = {
    "plain": PLAIN + "{% if add_generation_prompt %}<assistant>{% endif %}",
    "special tokens": "{{ bos_token }}" + PLAIN + "{{ eos_token }}",
    "tools": "{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}" + PLAIN,
    "indented json": "{{ messages | tojson(indent=2) }}",
    "loop controls": "{% for m in messages %}\n  {% if loop.index > 1 %}{% break %}{% endif %}\n{{ m.content }}\n{% endfor %}",
    "generation": PLAIN + "{% generation %}{{ messages[-1].content }}{% endgeneration %}",
    "no documents": "{% if documents is none and tools is none %}neither{% endif %}",
}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
MESSAGES = [{"role": "user", "content": "Where is the café? <b>"}, {"role": "assistant", "content": "There."}]
TOOL = {"type": "function", "function": {"name": "walk", "description": "Go; é.", "parameters": {"type": "object"}}}


@pytest.mark.parametrize("prompted", [True, False])
@pytest.mark.parametrize("name", TEMPLATES)
def test_as_transformers_renders_it(name: str, prompted: bool) -> None:
    tools = [TOOL] if name == "tools" else None
    (expected,), _ = render_jinja_template(
        [MESSAGES], tools=tools, chat_template=TEMPLATES[name], add_generation_prompt=prompted, **TOKENS
    )
    assert ChatTemplate(TEMPLATES[name], TOKENS).render(MESSAGES, prompted, tools) == expected


@pytest.mark.parametrize(
    "values",
    [
        {"chat_template": PLAIN},
        {"chat_template": [{"name": "rag", "template": "x"}, {"name": "default", "template": PLAIN}]},
    ],
)
def test_from_a_tokenizers_configuration(values: dict[str, Any], tmp_path: Path) -> None:
    told = {**values, "bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": False}, "pad_token": None}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(told))
    template = ChatTemplate.of(tmp_path)
    assert template.text == PLAIN and template.tokens == TOKENS and template
    (tmp_path / "chat_template.jinja").write_text("{{ bos_token }}only this")
    assert ChatTemplate.of(tmp_path).render(MESSAGES) == "<s>only this", "a file of its own goes before"


NAMED = {
    "default": "  \n{{ messages[0].content }}\n ",
    "tool_use": "\n\n{{ tools[0].function.name }} of {{ messages | length }}\n\n",
}


@pytest.mark.parametrize("place", ["list", "object", "files", "processor"])
@pytest.mark.parametrize("tools", [[TOOL], None])
def test_named_templates(place: str, tools: Any, tmp_path: Path) -> None:
    """As transformers chooses, byte by byte."""
    if place == "files":
        (tmp_path / "chat_template.jinja").write_text(NAMED["default"])
        (tmp_path / "additional_chat_templates").mkdir()
        (tmp_path / "additional_chat_templates" / "tool_use.jinja").write_text(NAMED["tool_use"])
    else:
        told = [{"name": name, "template": text} for name, text in NAMED.items()] if place == "list" else NAMED
        file = "chat_template.json" if place == "processor" else "tokenizer_config.json"
        (tmp_path / file).write_text(json.dumps({"chat_template": told}))
    chosen = NAMED["tool_use" if tools else "default"]
    (expected,), _ = render_jinja_template([MESSAGES], tools=tools, chat_template=chosen, add_generation_prompt=True)
    template = ChatTemplate.of(tmp_path)
    assert template.render(MESSAGES, tools=tools) == expected and template.takes_tools


def test_the_processors_file(tmp_path: Path) -> None:
    """Behind what the tokenizer's configuration says."""
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": PLAIN}))
    assert ChatTemplate.of(tmp_path).text == PLAIN
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ 1 }}"}))
    assert ChatTemplate.of(tmp_path).render(MESSAGES) == "1"


def test_none(tmp_path: Path) -> None:
    assert not ChatTemplate.of(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": [{"name": "rag", "template": "x"}]}))
    assert not ChatTemplate.of(tmp_path)


def test_whether_it_takes_tools() -> None:
    assert ChatTemplate(TEMPLATES["tools"], {}).takes_tools and not ChatTemplate(PLAIN + "{{ toolset }}", {}).takes_tools


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{{ raise_exception('roles must alternate') }}", r"refuses this conversation \(roles must alternate\)"),
        ("{{ messages[0].content + 1 }}", "refuses this conversation"),
        ("{{ messages.append('more') }}", "refuses this conversation"),
        ("{{ ''.__class__.__mro__ }}", "refuses this conversation"),
        ("{% for %}", "cannot be read .*; give one that Jinja understands"),
    ],
)
def test_what_it_may_not_do(text: str, error: str) -> None:
    """It runs in a sandbox: it comes with the weights."""
    with pytest.raises(BadRequest, match=error):
        ChatTemplate(text, {}).render(MESSAGES)


def test_messages_are_left_as_they_were() -> None:
    given = [dict(message) for message in MESSAGES]
    ChatTemplate(PLAIN, {}).render(given)
    assert given == MESSAGES
