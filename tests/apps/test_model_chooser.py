"""What a page offers to choose: what is on this machine; and what it refuses to visitors."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apps import model_download
from apps.model_chooser import ModelChooser
from mmgen.errors import Cancelled, NotFound


@pytest.fixture
def home(tmp_path: Path) -> Any:
    for name in ("mine.gguf", "drawn.safetensors", "notes.txt"):
        (tmp_path / "models" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "models" / name).touch()
    (tmp_path / "models" / "sd").mkdir()
    (tmp_path / "models" / "sd" / "model_index.json").write_text("{}")
    return SimpleNamespace(home=tmp_path)


def test_embedded_models_and_files_of_the_home(home: Any) -> None:
    chooser = ModelChooser(home, local=False)
    text, draws = dict(chooser.references("text")), dict(chooser.references("denoiser"))
    assert "embedded:books" in text and text["mine.gguf"] == str(home.home / "models" / "mine.gguf")
    assert {"embedded:emoji", "drawn.safetensors", "sd"} <= set(draws) and "notes.txt" not in {**text, **draws}


def test_a_visitor_chooses_from_what_is_there_the_owner_names_anything(home: Any) -> None:
    visitor, owner = ModelChooser(home, local=False), ModelChooser(home, local=True)
    assert visitor.checked("text", "embedded:books", None) == "embedded:books"
    assert visitor.checked("text", "embedded:books", str(home.home / "models" / "mine.gguf")).endswith("mine.gguf")
    with pytest.raises(NotFound, match='model "/etc/model" is not served here'):
        visitor.checked("text", "embedded:books", "/etc/model")
    assert owner.checked("text", "embedded:books", " /etc/model ") == "/etc/model"


def test_a_model_that_is_not_here_is_told_while_it_comes(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    home.engine = SimpleNamespace(models=[])
    chooser, loaded, go_on = ModelChooser(home, local=True), list[str](), threading.Event()
    monkeypatch.setattr(model_download, "POLL", 0.01)
    monkeypatch.setattr(model_download, "arrived", lambda reference: 5_000_000)
    for here in ("embedded:books", "embedded:books#int8", str(home.home / "models" / "mine.gguf")):
        assert not list(chooser.fetched("text", here, lambda: loaded.append("again"))) and not loaded, (
            "it loads when it is used"
        )

    def load() -> None:
        assert go_on.wait(60)
        loaded.append("org/name")

    told = chooser.fetched("text", "org/name", load)
    assert next(told) == "Downloading org/name: 5 MB"
    go_on.set()
    list(told)
    assert loaded == ["org/name"]


def test_who_stops_waits_no_more(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    home.engine, go_on = SimpleNamespace(models=[]), threading.Event()
    monkeypatch.setattr(model_download, "POLL", 0.01)

    def stopped() -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        list(ModelChooser(home, local=True).fetched("text", "org/name", lambda: go_on.wait(60), stopped))
    go_on.set()


def test_a_download_that_fails_says_why(home: Any) -> None:
    home.engine = SimpleNamespace(models=[])

    def refuse() -> None:
        raise NotFound("the hub is out of reach")

    with pytest.raises(NotFound, match="out of reach"):
        list(ModelChooser(home, local=True).fetched("text", "org/name", refuse))
