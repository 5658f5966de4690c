from pathlib import Path

import numpy as np
import pytest

from mmgen.config import assets_dir
from mmgen.errors import BadWeights
from mmgen.models.encoders.linear_classifier import LinearClassifier, fit


def test_fit_save_load(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = ["a", "b", "c"] * 20
    vectors = np.eye(3)[[ord(label) - 97 for label in labels]] + 0.1 * rng.normal(size=(60, 3))
    made = fit(vectors, labels, "some-encoder")
    assert [made.classes[n] for n in made.logits(vectors).argmax(1)] == labels
    assert np.array_equal(fit(vectors, labels, "").weight, made.weight)
    made.save(tmp_path / "deep" / "x.safetensors")
    again = LinearClassifier.load(tmp_path / "deep" / "x.safetensors")
    assert again.classes == made.classes and again.encoder == "some-encoder"
    assert np.allclose(again.weight, made.weight, atol=1e-2)


def test_probabilities_among_some() -> None:
    made = LinearClassifier(("a", "b", "c"), np.eye(3, dtype=np.float32), np.zeros(3, np.float32), "")
    found = made.probabilities(np.array([2.0, 1.0, 9.0]), ["a", "b"])
    assert found == pytest.approx({"a": 0.731059, "b": 0.268941}, abs=1e-6)


def test_damaged_files(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"weight": np.zeros((2, 3))}, tmp_path / "x.safetensors", metadata={"classes": '["a"]'})
    with pytest.raises(BadWeights, match="no linear classifier"):
        LinearClassifier.load(tmp_path / "x.safetensors")
    save_file({"weight": np.zeros((2, 3)), "bias": np.zeros(2)}, tmp_path / "x.safetensors", metadata={"classes": '["a"]'})
    with pytest.raises(BadWeights, match="for 1 classes"):
        LinearClassifier.load(tmp_path / "x.safetensors")


def test_the_shipped_one_knows_the_assistants_tools() -> None:
    shipped = LinearClassifier.load(assets_dir() / "router" / "router.safetensors")
    assert set(shipped.classes) == {"none", "docs", "images", "draw", "edit", "calc", "fetch"}
    assert shipped.encoder == "embedded:minilm" and shipped.weight.shape == (7, 384)
