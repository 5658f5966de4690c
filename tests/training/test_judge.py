from pathlib import Path

import numpy as np
import pytest
import torch
from drawings import drawing, drawings, pictures, row  # noqa: F401  fixtures

from mmgen.errors import BadRequest, BadWeights
from mmgen.training import emoji, judge
from mmgen.training.judge import Gallery, Judge, JudgeRecipe, Views
from mmgen.training.pictures import Pictures

# ruff: noqa: F811


def test_vectors_of_any_side() -> None:
    small = Judge(width=8, dimension=16)
    for side in (32, 64, 96):
        vectors = small(torch.rand(3, 3, side, side) * 2 - 1)
        assert vectors.shape == (3, 16)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))


def test_ranks_among_candidates() -> None:
    gallery = Gallery(torch.tensor([7, 7, 9, 11]), torch.eye(4))
    things = torch.tensor([9, 7, 11])
    seen = torch.tensor([[0.1, 0.9, 0.3, 0.0], [0.2, 0.1, 0.0, 0.8]])
    assert torch.equal(gallery.scores(seen, things), torch.tensor([[0.3, 0.9, 0.0], [0.0, 0.2, 0.8]]))
    assert gallery.ranks(seen, torch.tensor([7, 7]), things).tolist() == [0, 1]


def test_views(pictures: Pictures) -> None:
    views, things = Views(pictures), np.arange(8)
    clean, hard = views.clean(things, np.zeros(8, dtype=int)), views.hard(things, np.random.default_rng(0))
    assert clean.shape == hard.shape == (8, 3, 64, 64) and hard.min() >= -1 and hard.max() <= 1
    assert torch.equal(hard, views.hard(things, np.random.default_rng(0)))
    assert not torch.equal(hard, views.hard(things, np.random.default_rng(1)))
    assert (clean[:, :, 0, 0] == 1).all() and not (hard[:, :, 0, 0] == 1).all()


def test_training_learns_and_saves(tmp_path: Path) -> None:
    colours = {"rose": (255, 0, 0), "moss": (0, 160, 0), "sea": (0, 0, 255), "coal": (0, 0, 0)}
    image = drawing(0, 0)
    images = [np.where(image[..., 3:] > 0, (*colour, 255), 0).astype(np.uint8) for colour in colours.values()]
    emoji.write(tmp_path / "set", [row("noto", name) for name in colours], images)
    recipe = JudgeRecipe(data=tmp_path / "set", out=tmp_path / "run", steps=50, batch=16, width=8, dimension=16)
    folder = judge.train(recipe)
    loss = [line.split('"loss": ')[1] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert float(loss[-1].split(",")[0]) < 1.2  # log(4) = 1.39 is chance
    again = judge.load(folder)
    assert again.shape == {"width": 8, "dimension": 16}
    assert judge.accuracy(again, Pictures.load(tmp_path / "set"), 200)["all R@1"] > 0.5  # chance: 0.25
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(BadWeights):
        judge.load(folder)


def test_no_data() -> None:
    with pytest.raises(BadRequest, match="data is not set; give the folder"):
        judge.train(JudgeRecipe())
