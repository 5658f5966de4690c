"""chat on tiny models: the checkpoint's template, the plain one, conversations, and what is none."""

from pathlib import Path
from typing import Any

import pytest

from mmgen.errors import BadRequest, MmgenError
from mmgen.pipelines.chat import Chat, Reply, conversation, written
from mmgen.pipelines.text import TextGeneration
from mmgen.runtime import Runtime

SHORT: dict[str, Any] = {"max_tokens": 12, "seed": 3}
ASKED = [
    {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}, {"role": "user", "content": "and you?"},
]  # fmt: skip


def test_the_checkpoints_template_is_used(writer: Runtime) -> None:
    reply = Chat(writer, system="Be kind. ")(ASKED, **SHORT)
    assert reply.prompt == "Be kind. <|user|>hi<|assistant|>hello<|user|>and you?<|assistant|>"
    assert reply.usage.prompt == len("Be kind. ") + len("hi") + len("hello") + len("and you?") + 4 - reply.prompt.count("he")
    assert reply.text == TextGeneration(writer)(reply.prompt, temperature=0.7, **SHORT).text


def test_without_a_template_it_is_written_plainly(writer: Runtime, tiny_draft: Path) -> None:
    prompt = written(writer.text(str(tiny_draft)), conversation(ASKED, "Be kind."))
    assert prompt.text == "Be kind.\nUser: hi\nAssistant: hello\nUser: and you?\nAssistant:"
    assert prompt.stops == ("\nUser:",)
    reply = Chat(writer, model=str(tiny_draft))("hi", regex=r" ab\nUser: c", max_tokens=40)
    assert (reply.text, reply.finish_reasons) == (" ab", ["stop"])
    assert reply.messages[-1] == {"role": "assistant", "content": "ab"}


def test_a_reply_brings_the_conversation_for_the_next_call(writer: Runtime) -> None:
    chat = Chat(writer)
    first = chat("hi", **SHORT)
    assert isinstance(first, Reply)
    assert [one["role"] for one in first.messages] == ["user", "assistant"]
    second = chat([*first.messages, {"role": "user", "content": "go on"}], **SHORT)
    assert second.prompt.startswith("<|user|>hi<|assistant|>" + first.text.strip())
    assert [one["role"] for one in second.messages] == ["user", "assistant"] * 2


def test_events(writer: Runtime) -> None:
    events = list(Chat(writer).stream("hi", **SHORT))
    assert events[-1].kind == "reply"
    assert "".join(event.value.text for event in events[:-1]) == events[-1].value.text


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("  ", "there is no message to answer; say something"),
        ([], "there is no message to answer"),
        ([{"role": "assistant", "content": "hi"}], "there is no message to answer"),
        (
            [{"role": "robot", "content": "hi"}],
            "message {'role': 'robot', 'content': 'hi'} is none; give a role (system, user, ",
        ),
        ([{"role": "user"}], "message {'role': 'user'} is none"),
        (["hi"], "message 'hi' is none"),
        (7, "message 7 is none"),
    ],
)
def test_what_is_no_conversation(writer: Runtime, message: Any, told: str) -> None:
    with pytest.raises(MmgenError) as caught:
        Chat(writer)(message)
    assert isinstance(caught.value, BadRequest) and str(caught.value).startswith(told)


def test_the_command(call: Any, tiny_llama: Path, writer: Runtime) -> None:
    done = call("chat", "hi", "--model", tiny_llama, "--max-tokens", 12, "--seed", 3, "--system", "Be kind.")
    assert (done.code, done.out) == (0, Chat(writer, system="Be kind.")("hi", **SHORT).text + "\n")


def test_what_is_left_open_is_as_the_models_makers_recommend(writer: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    greedy = Chat(writer)("hi", max_tokens=12, strategy="greedy").text
    monkeypatch.setattr(writer.text(), "sampling", {"temperature": 0.0})
    assert {Chat(writer)("hi", max_tokens=12).text for _ in range(3)} == {greedy}
    assert TextGeneration(writer)("<|user|>hi<|assistant|>", max_tokens=12).text == greedy
    assert len({Chat(writer)("hi", max_tokens=12, temperature=2.0, seed=seed).text for seed in range(4)}) > 1


def test_the_command_leaves_open_what_nobody_said(
    call: Any, tiny_llama: Path, writer: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy = Chat(writer)("hi", max_tokens=12, strategy="greedy").text
    monkeypatch.setattr("mmgen.models.lm.text_model._settings", lambda folder: {"do_sample": True, "temperature": 0.0})
    done = call("chat", "hi", "--model", tiny_llama, "--max-tokens", 12)
    assert (done.code, done.out) == (0, greedy + "\n")
