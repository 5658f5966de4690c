"""The Models tab: what is there and loaded; sleep, wake, pin, download and remove."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gradio as gr
import pytest

from apps import model_download, models_tab
from apps.model_chooser import ModelChooser
from apps.models_tab import ModelHandlers, ModelRow
from apps.sessions import Pages
from mmgen.errors import NotFound

if TYPE_CHECKING:
    from mmgen.runtime import Runtime

BROWSER: Any = SimpleNamespace(session_hash="me")


@pytest.fixture
def handlers(writer: "Runtime") -> ModelHandlers:
    return ModelHandlers(writer, ModelChooser(writer, local=True), Pages(), lambda reference: Path())


def row(rows: list[ModelRow], reference: str) -> ModelRow:
    (found,) = (one for one in rows if one.reference == reference)
    return found


def test_models_sleep_wake_and_are_pinned(handlers: ModelHandlers) -> None:
    reference = handlers.rt.config.text
    handlers.rt.text()
    loaded = row(handlers.rows(), reference)
    assert handlers.rows()[0] == loaded and (loaded.kind, loaded.state) == ("text", "awake") and loaded.memory > 0
    asleep = row(handlers.move(loaded)(), reference)
    assert asleep.state in ("resting", "asleep")
    awake = row(handlers.move(asleep)(), reference)
    pinned = row(handlers.pin(awake)(), reference)
    assert awake.state == "awake" and pinned.pinned and "in memory" in models_tab.row_html(pinned)
    with pytest.raises(gr.Error, match="is pinned; unpin it first"):
        handlers.move(pinned)()
    assert handlers.changed(handlers.rows()) == gr.skip() and handlers.changed([]) == handlers.rows()


def test_embedded_models_have_size_and_licence(handlers: ModelHandlers) -> None:
    books = row(handlers.rows(), "embedded:books")
    assert "public-domain" in models_tab.row_html(books) and books.disk > 1e6 and not books.download
    with pytest.raises(gr.Error, match="comes with the installation"):
        handlers.remove(books)()


def test_files_of_the_home_are_listed(handlers: ModelHandlers) -> None:
    path = handlers.rt.home / "models" / "mine.gguf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 2_000_000)
    try:
        mine = row(handlers.rows(), str(path))
        assert mine.kind == "text" and not mine.download and "2 MB" in models_tab.row_html(mine)
    finally:
        path.unlink()


def test_a_download_tells_how_much_has_arrived(handlers: ModelHandlers, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(model_download, "POLL", 0.01)
    monkeypatch.setattr(handlers, "pull", lambda reference: go_on.wait(60))
    monkeypatch.setattr(model_download, "arrived", lambda reference: 5_000_000)
    shown = handlers._downloaded("org/name")
    first, _ = next(shown)
    go_on.set()
    *_, (last, rows) = shown
    assert "Downloading org/name: 5 MB" in first and "is on this machine" in last and rows == handlers.rows()


def test_a_download_tells_how_far_it_is_and_why_it_failed(handlers: ModelHandlers, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(reference: str) -> Path:
        raise NotFound(f"{reference} <is> not there")

    shown = [html for html, _ in handlers.download(" org/name ", BROWSER)]
    assert "org/name is on this machine" in shown[-1]
    monkeypatch.setattr(handlers, "pull", refuse)
    failed: list[str] = []
    with pytest.raises(gr.Error, match="not there"):
        for html, _ in handlers.download("org/name", BROWSER):
            failed.append(html)
    assert "&lt;is&gt; not there" in failed[-1]
    with pytest.raises(gr.Error, match="there is no model to download"):
        list(handlers.download(" ", BROWSER))
