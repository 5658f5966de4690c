"""The CLIP recipe: finds what it learned, goes on after a stop as if there had been none, and says what is wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from drawings import drawing, row

from mmgen.errors import BadRequest
from mmgen.models import two_towers
from mmgen.models.vision import VisionConfig
from mmgen.training import clip, emoji
from mmgen.training.clip import Batch, Contrast, Run, recoloured
from mmgen.training.schedules import Schedule

COLOURS = {"red apple": (255, 0, 0), "green tree": (0, 160, 0), "blue sea": (0, 0, 255), "black coal": (0, 0, 0)}
TINY = VisionConfig(64, 16, 32, 1, 2, 64, pooling="mean", class_token=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four things by two vendors."""
    folder, image = tmp_path_factory.mktemp("emoji") / "set", drawing(0, 0)
    images = [np.where(image[..., 3:] > 0, (*colour, 255), 0).astype(np.uint8) for colour in COLOURS.values()]
    rows = [row(vendor, name) for vendor in ("noto", "fluent-flat") for name in COLOURS]
    emoji.write(folder, rows, images * 2)
    return folder


def recipe(data: Path, out: Path, **more: object) -> clip.ClipRecipe:
    told = {"data": data, "out": out, "vendors": ("noto",), "vision": TINY, "dimension": 32, "phrasings": 2, "batch": 16,
            "leave_out": (), "schedule": Schedule(peak=3e-3), "validate_every": 60, "steps": 60}  # fmt: skip
    return clip.ClipRecipe.model_validate({**told, **more})


def test_what_it_learned_of_one_vendor_finds_anothers_drawings(data: Path, tmp_path: Path) -> None:
    assert clip.train(recipe(data, tmp_path))
    model = two_towers.load(tmp_path / "model")
    pictures = Run(recipe(data, tmp_path / "other")).judged.pixels
    found = model.embed_texts(list(COLOURS)) @ model.embed_images(pictures).T
    assert (found.argmax(1) == np.arange(4)).sum() >= 3  # chance: 1
    assert '"validation R@1"' in (tmp_path / "metrics.jsonl").read_text()


def test_a_stopped_run_goes_on_bit_by_bit(data: Path, tmp_path: Path) -> None:
    clip.train(recipe(data, tmp_path / "whole", steps=4))
    clip.train(recipe(data, tmp_path / "parts", steps=4), stop_after_minutes=0)
    while not clip.train(recipe(data, tmp_path / "parts", steps=4), stop_after_minutes=0):
        pass
    whole, parts = ((tmp_path / name / "checkpoint" / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts


def test_all_pictures_of_a_thing_are_right(data: Path, tmp_path: Path) -> None:
    run = Run(recipe(data, tmp_path))
    (batch, weight), *none = run.parts(0, 0, 1)
    assert (weight, none) == (1.0, []) and batch.pixels.shape == (16, 3, 64, 64) and len(batch.texts) == 4
    assert torch.equal(batch.pixels, run.parts(0, 0, 1)[0][0].pixels)
    alike = Batch(batch.pixels[:1].expand(4, -1, -1, -1), batch.texts, torch.tensor([2, 2, 2, 2]))
    with torch.no_grad():
        losses = Contrast(run.model)(alike)
        vectors = run.model.embed_images(alike.pixels[:1]) @ run.model.embed_texts(alike.texts).T
        expected = torch.nn.functional.cross_entropy(losses["scale"] * vectors, torch.tensor([2]))
    assert float(losses["texts"]) == pytest.approx(np.log(4), abs=1e-4)  # one picture is as right as another
    assert float(losses["images"]) == pytest.approx(float(expected), abs=1e-4)


def test_other_colours() -> None:
    images = torch.rand(64, 3, 8, 8) * 2 - 1
    changed = recoloured(images, np.random.default_rng(0))
    assert changed.shape == images.shape and changed.min() >= -1 and changed.max() <= 1
    assert torch.equal(changed, recoloured(images, np.random.default_rng(0)))
    grey = (changed - changed.mean(1, keepdim=True)).abs().amax((1, 2, 3)) < 1e-5
    assert 0 < grey.sum() < 32


def test_no_data(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="data is not set; give the folder"):
        clip.train(recipe(tmp_path, tmp_path).model_copy(update={"data": None}))
