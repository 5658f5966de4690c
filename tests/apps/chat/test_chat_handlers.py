"""What Chat's buttons do, over tiny models: answers are kept with all that is shown, and calls wait for a word."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from apps.chat.chat_frame import ChatFrame, ChatFrames
from apps.chat.chat_handlers import ChatHandlers, TurnChoice
from apps.chat.conversation_handlers import ConversationHandlers
from apps.model_chooser import ModelChooser
from apps.page_stores import PageStores
from apps.sessions import Pages
from mmgen.pipelines.agent.router import Route, Router
from mmgen.runtime import Runtime
from mmgen.serve.auth import Caller
from mmgen.stores.conversations import Conversations

BROWSER: Any = SimpleNamespace(session_hash="me")


@pytest.fixture
def chat(tiny_runtime: Runtime, pixel_model: Path, tmp_path: Path) -> Iterator[ChatHandlers]:
    stores = PageStores(tiny_runtime, str(tmp_path / "store"), local=True)
    kept = Conversations(tmp_path / "history")
    chooser = ModelChooser(tiny_runtime, local=True)
    yield ChatHandlers(tiny_runtime, stores, chooser, Pages(), ChatFrames(kept), str(pixel_model))
    kept.close()


def with_tools(*tools: str) -> TurnChoice:
    return TurnChoice(tools, (), None, None)


def send(chat: ChatHandlers, said: Any, current: str = "", tools: Any = ("calc", "draw"), edited: int = 0) -> list[ChatFrame]:
    return [ChatFrame(*frame) for frame in chat.send(said, edited, current, with_tools(*tools), BROWSER)]


def test_a_message_and_its_answer(chat: ChatHandlers) -> None:
    frames = send(chat, {"text": "what is 3 * 4?", "files": []})
    assert "Thinking" in frames[0].live and frames[0].box is None
    last = frames[-1]
    assert "3 * 4 = 12" in last.past and last.live == "" and last.name == "what is 3 * 4?"
    assert last.listing["choices"] == [("what is 3 * 4?", last.current)] and last.listing["value"] == last.current
    send(chat, "what is 5 * 5?", last.current)
    kept = chat.conversations.messages("local", last.current)
    assert [one["role"] for one in kept] == ["user", "assistant"] * 2 and kept[3]["content"] == "5 * 5 = 25"
    assert kept[1]["steps"][0]["call"]["tool"] == "calc"
    opened = ConversationHandlers(chat.frames).open(last.current, BROWSER)
    assert opened.past.count("<article") == 4


def test_an_edited_message_is_answered_in_a_branch(chat: ChatHandlers, tmp_path: Path) -> None:
    Image.new("RGB", (20, 20), "red").save(tmp_path / "a.png")
    first = send(chat, {"text": "what is 3 * 4?", "files": [{"path": str(tmp_path / "a.png")}]})[-1].current
    send(chat, "what is 5 * 5?", first)
    editing = chat.edit(1, first, BROWSER)
    assert editing.box == {"text": "what is 3 * 4?", "files": []} and editing.edited == 1 and editing.editing["visible"]
    done = send(chat, {"text": "what is 4 * 4?", "files": []}, first, edited=1)[-1]
    assert done.current != first and done.edited == 0 and not done.editing["visible"]
    assert "4 * 4 = 16" in done.past and "5 * 5" not in done.past and done.past.count("<img") == 1, "its image stays"
    assert done.name == "what is 3 * 4? (branch)"
    assert [one["role"] for one in chat.conversations.messages("local", first)] == ["user", "assistant"] * 2
    assert chat.stop_editing().edited == 0
    for wrong in (0, 2, 9):
        with pytest.raises(gr.Error, match="none of yours"):
            chat.edit(wrong, first, BROWSER)


def test_an_answer_anew_stands_in_a_branch(chat: ChatHandlers) -> None:
    first = send(chat, "what is 3 * 4?")[-1].current
    send(chat, "what is 5 * 5?", first)
    before = chat.conversations.messages("local", first)
    [*_, done] = [ChatFrame(*one) for one in chat.regenerate(2, first, with_tools("calc"), BROWSER)]
    assert "3 * 4 = 12" in done.past and "5 * 5" not in done.past and done.current != first
    assert chat.conversations.messages("local", first) == before
    for wrong in (1, 3, 9):
        with pytest.raises(gr.Error, match="no answer to one of yours"):
            list(chat.regenerate(wrong, first, with_tools("calc"), BROWSER))


def test_an_image_that_is_attached_or_drawn(chat: ChatHandlers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Router, "route", lambda *_: Route("draw", 1.0, "classifier"))
    last = send(chat, "draw a red apple")[-1]
    assert "data:image/png;base64," in last.past and "a red apple" in last.past
    monkeypatch.setattr(Router, "route", lambda *_: Route("edit", 1.0, "classifier"))
    Image.new("RGB", (20, 20), "red").save(tmp_path / "a.png")
    last = send(chat, {"text": "make it blue", "files": [{"path": str(tmp_path / "a.png")}]})[-1]
    assert last.past.count("data:image/png;base64,") == 2


def test_a_stop_keeps_what_there_is(chat: ChatHandlers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Router, "route", lambda *_: Route("draw", 1.0, "classifier"))
    frames = chat.send("draw a red apple", 0, "", with_tools("draw"), BROWSER)
    current = ChatFrame(*next(frames)).current
    chat.sessions.cancel(BROWSER)
    list(frames)
    said = chat.conversations.messages("local", current)[-1]
    assert said.get("stopped") == "user" or said["images"], "it was stopped, or it was faster"


def test_calls_wait_for_a_word(chat: ChatHandlers, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmgen.pipelines.agent.calculator_tool import CalculatorTool

    monkeypatch.setattr(CalculatorTool, "asks", lambda *_: "it is a test")
    last = send(chat, "what is 3 * 4?")[-1]
    assert last.asking["visible"] and "Calculator: expression 3 * 4 - it is a test" in last.question
    assert "permission" in last.past
    [*_, done] = [ChatFrame(*one) for one in chat.decide(True, last.current, with_tools("calc"), BROWSER)]
    assert "3 * 4 = 12" in done.past and not done.asking["visible"] and "permission" not in done.past
    again = send(chat, "what is 4 * 4?", last.current)[-1]
    (refused,) = [ChatFrame(*one) for one in chat.decide(False, again.current, with_tools("calc"), BROWSER)]
    assert "Not called, as you wished." in refused.past and "4 * 4 = 16" not in refused.past


def test_what_goes_wrong_is_told(chat: ChatHandlers) -> None:
    with pytest.raises(gr.Error, match="the message is empty"):
        send(chat, {"text": " ", "files": []})
    last = send(chat, "what is 3 / 0?")[-1]
    assert "divides by zero" in last.past


def test_a_key_switches_on_what_it_is_for(chat: ChatHandlers) -> None:
    state = SimpleNamespace(caller=Caller("ann", frozenset({"chat"})))
    http: Any = SimpleNamespace(session_hash="x", request=SimpleNamespace(state=state))
    with pytest.raises(gr.Error, match='not for "images"'):
        next(iter(chat.send("draw", 0, "", with_tools("draw"), http)))
    assert chat.conversations.found("ann") == []
