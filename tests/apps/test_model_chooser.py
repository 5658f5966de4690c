"""What a page offers to choose: what is on this machine; and what it refuses to visitors."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apps.model_chooser import ModelChooser
from mmgen.errors import NotFound


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
