"""ViT and DINOv2 checkpoints: the same logits and states as transformers; labels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_vision
import torch
from safetensors.torch import load_file, save_file

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.vision import classifier
from mmgen.models.vision.classifier import TowerModel

IMAGES = tiny_vision.images((60, 93), (93, 61), (120, 40), (9, 9))
MAKERS = {
    "vit": tiny_vision.vit,
    "dinov2": tiny_vision.dinov2,
    "dinov2-classifier": tiny_vision.dinov2_classifier,
}


@pytest.fixture(scope="module", params=list(MAKERS))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, TowerModel]:
    folder = tmp_path_factory.mktemp(request.param)
    return tiny_vision.saved(MAKERS[request.param](), folder), classifier.load(folder)


@torch.inference_mode()
def test_equal_to_transformers(pair: tuple[Any, TowerModel]) -> None:
    theirs, ours = pair
    pixels = tiny_vision.PROCESSORS[theirs.config.model_type]()(IMAGES, return_tensors="pt")["pixel_values"]
    body = getattr(theirs, theirs.config.model_type, theirs)
    expected = body(pixels).last_hidden_state[:, 0]
    np.testing.assert_allclose(ours.embed_images(IMAGES), torch.nn.functional.normalize(expected, dim=-1), atol=1e-5)
    if body is theirs:
        assert ours.labels == ()
        return
    logits = ours.classify(IMAGES)
    np.testing.assert_allclose(logits, theirs(pixels).logits, atol=1e-4)
    assert ours.labels == ("cat", "dog", "car") and logits.std() > 0.1
    assert np.array_equal(np.concatenate([ours.classify([one]) for one in IMAGES]), logits)


@torch.inference_mode()
def test_larger_images(pair: tuple[Any, TowerModel]) -> None:
    theirs, ours = pair
    pixels = torch.randn(2, 3, 48, 40, generator=torch.Generator().manual_seed(1))
    more = {"interpolate_pos_encoding": True} if theirs.config.model_type == "vit" else {}
    expected = getattr(theirs, theirs.config.model_type, theirs)(pixels, **more).last_hidden_state[:, 0]
    np.testing.assert_allclose(ours.vectors(pixels), torch.nn.functional.normalize(expected, dim=-1), atol=1e-4)


def test_a_bare_vit(tmp_path: Path) -> None:
    """Without a head and without `vit.` before its names."""
    theirs = tiny_vision.saved(tiny_vision.vit(), tmp_path)
    theirs.vit.save_pretrained(tmp_path)
    ours = classifier.load(tmp_path)
    assert ours.embed_images(IMAGES).shape == (4, 32)
    with pytest.raises(BadRequest, match="has no labels; take a checkpoint with a classifier, or CLIP"):
        ours.classify(IMAGES)


def test_texts_are_refused(pair: tuple[Any, TowerModel]) -> None:
    with pytest.raises(BadRequest, match="has no text encoder; take a dual encoder"):
        pair[1].score(torch.zeros(1, 3, 8, 8), ["w1"])


def test_a_missing_layer_scale_is_named(tmp_path: Path) -> None:
    tiny_vision.saved(tiny_vision.dinov2(), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["encoder.layer.1.layer_scale2.lambda1"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(BadWeights, match=r"lacks encoder\.layer\.1\.layer_scale2\.lambda1"):
        classifier.load(tmp_path)


def test_labels_by_their_numbers(tiny_vit: Path, tmp_path: Path) -> None:
    for file in tiny_vit.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "id2label": {"2": "car", "10": "hat", "0": "cat"}}))
    assert classifier.load(tmp_path).labels == ("cat", "car", "hat")
    (tmp_path / "config.json").write_text(json.dumps({**config, "id2label": {"first": "cat"}}))
    with pytest.raises(BadWeights, match=r"numbers its labels \['first'\]"):
        classifier.load(tmp_path)
