"""What was done before: kept, found by words, opened and deleted; and no trouble where nothing is kept."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from apps.history_panel import HistoryPanel, cut, since
from mmgen.engine.job import Request
from mmgen.errors import StoreError
from mmgen.stores.history import History, HistoryEntry


@pytest.fixture
def past(tmp_path: Path) -> Iterator[HistoryPanel]:
    with History(tmp_path / "history") as history:
        yield HistoryPanel(history)


def test_entries_of_several_kinds_the_newest_first(past: HistoryPanel) -> None:
    for kind, prompt in (("txt2img", "a red apple"), ("img2img", "a green apple"), ("rag-text", "who ate the apple?")):
        past.add(Request.new(), kind, {"prompt": prompt}, {}, {"1.png": prompt.encode(), "note.txt": b"-"})
    found = past.entries(["txt2img", "img2img"], "")
    assert [entry.asked["prompt"] for entry in found] == ["a green apple", "a red apple"]
    assert past.files(found[0], ".png") == [b"a green apple"]
    assert [entry.kind for entry in past.entries(["txt2img", "img2img"], "red")] == ["txt2img"]


def test_opening_and_deleting(past: HistoryPanel) -> None:
    request = Request.new()
    past.add(request, "rag-text", {"question": "who?"}, {"text": "me"}, {})

    def reopen(entry: HistoryEntry, before: str) -> Iterator[str]:
        yield f"{before} {entry.asked['question']} {entry.result['text']}"

    assert list(past._opened(request.id, reopen)("hello")) == ["hello who? me"]
    assert past._deleted(request.id)(4) == 5
    assert past.entries(["rag-text"], "") == []
    with pytest.raises(gr.Error, match="there is no request"):
        past._deleted(request.id)(5)


def test_it_is_the_local_users(past: HistoryPanel) -> None:
    assert past.history is not None
    past.history.add("somebody", "theirs", "rag-text", {}, {})
    past.add(Request.new("session"), "rag-text", {}, {}, {})
    assert len(past.entries(["rag-text"], "")) == len(past.history.entries("local")) == 1


def test_without_a_history_nothing_is_kept() -> None:
    none = HistoryPanel(None)
    none.add(Request.new(), "rag-text", {}, {}, {})
    assert none.entries(["rag-text"], "") == []


def test_what_cannot_be_kept_is_said(past: HistoryPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    monkeypatch.setattr(gr, "Warning", said.append)

    def full(*_: Any) -> None:
        raise StoreError("the disk is full; make room")

    monkeypatch.setattr(past.history, "add", full)
    past.add(Request.new(), "rag-text", {}, {}, {})
    assert said == ["the disk is full; make room"]


def test_names_and_times_fit_a_line() -> None:
    assert cut("a\nb") == "a b" and len(cut("x" * 500)) == 70
    now = time.time()
    assert [since(now - ago) for ago in (5, 300, 7200, 400_000)] == ["5 s ago", "5 min ago", "2 h ago", "5 days ago"]
