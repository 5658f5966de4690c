"""What Chat's buttons do, over tiny models: answers are kept with all that is shown, and calls wait for a word."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from apps.chat.chat_handlers import ChatFrame, ChatHandlers
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
    yield ChatHandlers(tiny_runtime, stores, ModelChooser(tiny_runtime, local=True), Pages(), kept, str(pixel_model))
    kept.close()


def send(chat: ChatHandlers, said: Any, current: str = "", tools: Any = ("calc", "draw")) -> list[ChatFrame]:
    return [ChatFrame(*frame) for frame in chat.send(said, current, list(tools), None, None, BROWSER)]


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
    opened = ChatFrame(*chat.open(last.current, BROWSER))
    assert opened.past.count("<article") == 4
    assert ChatFrame(*chat.new(BROWSER)).current == ""


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
    frames = chat.send("draw a red apple", "", ["draw"], None, None, BROWSER)
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
    (_, *_, done) = [ChatFrame(*one) for one in chat.decide(True, last.current, ["calc"], None, None, BROWSER)]
    assert "3 * 4 = 12" in done.past and not done.asking["visible"] and "permission" not in done.past
    again = send(chat, "what is 4 * 4?", last.current)[-1]
    (refused,) = [ChatFrame(*one) for one in chat.decide(False, again.current, ["calc"], None, None, BROWSER)]
    assert "Not called, as you wished." in refused.past and "4 * 4 = 16" not in refused.past


def test_conversations_are_managed(chat: ChatHandlers) -> None:
    current = send(chat, "what is 3 * 4?")[-1].current
    assert ChatFrame(*chat.rename("Sums", current, BROWSER)).name == "Sums"
    branch = ChatFrame(*chat.branch(1, current, BROWSER))
    assert branch.name == "Sums (branch)" and branch.past.count("<article") == 1
    assert [name for name, _ in chat.search("12", "", BROWSER)["choices"]] == ["Sums"]
    assert Path(chat.export("md", current, BROWSER)).read_text().startswith("# Sums")
    assert json.loads(Path(chat.export("json", current, BROWSER)).read_text())["name"] == "Sums"
    assert ChatFrame(*chat.delete(current, BROWSER)).empty["visible"]
    with pytest.raises(gr.Error, match="no conversation"):
        chat.open(current, BROWSER)


def test_what_goes_wrong_is_told(chat: ChatHandlers) -> None:
    with pytest.raises(gr.Error, match="the message is empty"):
        send(chat, {"text": " ", "files": []})
    last = send(chat, "what is 3 / 0?")[-1]
    assert "divides by zero" in last.past


def test_a_key_switches_on_what_it_is_for(chat: ChatHandlers) -> None:
    state = SimpleNamespace(caller=Caller("ann", frozenset({"chat"})))
    http: Any = SimpleNamespace(session_hash="x", request=SimpleNamespace(state=state))
    with pytest.raises(gr.Error, match='not for "images"'):
        next(iter(chat.send("draw", "", ["draw"], None, None, http)))
    assert chat.conversations.found("ann") == []
