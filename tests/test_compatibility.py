"""What the last release saved opens. The commit before the modules moved wrote fixtures/before_layout: see its make.py."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from cli_call import Call

from mmgen.models import transformer_config
from mmgen.stores.history import History
from mmgen.stores.keys import KeyStore

FIXTURES = Path(__file__).parent / "fixtures" / "before_layout"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A copy that a test may write to."""
    return Path(shutil.copytree(FIXTURES, tmp_path / "saved"))


def test_a_store_of_documents(call: Call, saved: Path) -> None:
    store = saved / "store"
    listed = json.loads(call("rag", "list", "--store", store, "--json").out)
    assert sorted(Path(one["uri"]).name for one in listed) == ["banana.png", "planets.csv", "tea.md", "volcano.png"]
    hits = json.loads(call("rag", "search", "why is black tea black", "--store", store, "-k", 1, "--json").out)
    assert hits[0]["uri"].endswith("tea.md") and "oxidised" in hits[0]["passage"]["text"]
    answer = json.loads(call("rag", "ask", "Which planet is the largest?", "--store", store, "--json").out)
    assert answer["passages"]


def test_it_takes_more_documents(call: Call, saved: Path) -> None:
    (saved / "fox.md").write_text("# Foxes\n\nA fox sleeps in an earth, which it often takes over from a badger.\n")
    assert call("rag", "add", "--store", saved / "store", saved / "fox.md").code == 0
    hits = json.loads(call("rag", "search", "where does a fox sleep", "--store", saved / "store", "-k", 1, "--json").out)
    assert hits[0]["uri"].endswith("fox.md")


@pytest.mark.parametrize(("words", "name"), [("banana", "banana.png"), ("volcano", "volcano.png")])
def test_its_images(call: Call, saved: Path, words: str, name: str) -> None:
    found = json.loads(call("image", "search", words, "--store", saved / "store", "--where", "album=summer", "--json").out)
    assert Path(found[0]["uri"]).name == name and len(found) == 2


def test_an_image_is_reproduced(call: Call, saved: Path) -> None:
    told = call("show", saved / "apple.png").out
    assert "a red apple" in told and "ddim" in told
    again = json.loads(call("reproduce", saved / "apple.png", "--json").out)
    assert again["difference"] <= 1  # another processor may round otherwise
    assert not [why for why in again["changed"] if "weights" in why]


def test_training_goes_on(call: Call, saved: Path) -> None:
    out = saved / "run"
    done = call(
        "train",
        "lm",
        "--config",
        saved / "recipe.yaml",
        "--data",
        saved / "data" / "tales.jsonl.gz",
        "--out",
        out,
        "--set",
        "steps=6",
    )
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    told = [row["validation"] for row in rows if "validation" in row]
    assert told == pytest.approx(json.loads((saved / "resumed.json").read_text()), abs=2e-4) and told[1] < told[0]


def test_a_shape_file_with_keys_of_old(saved: Path) -> None:
    """The model that was trained by it has this shape."""
    from mmgen.models.lm.language_model import LanguageModel, load

    made = LanguageModel(transformer_config.load(saved / "shape.yaml"))
    trained = load(saved / "run" / "model")
    assert not made.config.differs(trained.config)
    assert {name: value.shape for name, value in made.state_dict().items()} == {
        name: value.shape for name, value in trained.state_dict().items()
    }
    (table,) = {value.shape for name, value in made.state_dict().items() if value.shape[0] == 300}
    assert table == (300, 8)


def test_a_language_model_and_its_adapter_write(saved: Path, call: Call) -> None:
    options = ("the fox", "--model", saved / "run" / "model", "--max-tokens", "8", "--temperature", "0", "--json")
    plain = json.loads(call("text", *options).out)
    tuned = call("text", *options, "--adapter", saved / "adapter")
    assert tuned.code == 0, tuned.err
    assert json.loads(tuned.out).keys() == plain.keys()
    from mmgen.models.checkpoints import safetensors_io

    lora = safetensors_io.read(saved / "adapter" / "adapter_model.safetensors")
    assert any(bool(torch.any(value != 0)) for name, value in lora.items() if "lora_B" in name)


def test_keys(saved: Path) -> None:
    with KeyStore(saved / "keys.db") as keys:
        key = keys.verify((saved / "key.txt").read_text().strip())
    assert key is not None and key.name == "ann" and key.weight == 2 and str(key.rate) == "60/min"
    assert key.scopes == {"chat", "embeddings"} and key.stores == {"a", "b"}


def test_a_history(saved: Path) -> None:
    with History(saved / "history", clock=lambda: 1_700_000_001.0) as history:
        text = history.get("ann", "r1")
        assert (
            text.kind == "chat" and text.asked == {"prompt": "why is tea black"} and text.result == {"text": "It is oxidised."}
        )
        assert history.read("ann", "r2", "0.png") == b"not really an image"


def test_names_of_metrics() -> None:
    """Dashboards of before go on: every family is there, and of the same type."""
    from mmgen.engine.telemetry.metrics import Metrics
    from mmgen.engine.telemetry.prometheus import exposition

    before, now = (
        {line for line in text.splitlines() if line.startswith("# TYPE ")}
        for text in ((FIXTURES / "metrics.txt").read_text(), exposition(Metrics()))
    )
    assert len(before) == 19 and before <= now
