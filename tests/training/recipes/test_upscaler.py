"""The upscaler's recipe at its smallest: resumed equals undisturbed."""

from pathlib import Path

import pytest
import torch
from emoji_folder import drawings  # noqa: F401  fixture

from mmgen.config import load
from mmgen.errors import BadRequest
from mmgen.models.checkpoints import safetensors_io
from mmgen.training.recipes import upscaler
from mmgen.training.recipes.upscaler import UpscalerRecipe

# ruff: noqa: F811


def test_upscaler_learns_and_resumes(drawings: Path, tmp_path: Path) -> None:
    recipe = UpscalerRecipe(data=drawings, out=tmp_path / "a", channels=8, layers=1, steps=4, batch=4)
    assert upscaler.train(recipe)
    broken = recipe.model_copy(update={"out": tmp_path / "b"})
    assert not upscaler.train(broken, stop_after_minutes=0) and upscaler.train(broken)
    one, other = (safetensors_io.read(tmp_path / name / "model" / "model.safetensors") for name in "ab")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_noise_depends_on_the_step_alone() -> None:
    small = torch.zeros(2, 3, 4, 4)
    one, again, other = (upscaler.add_noise(small, 0.1, step) for step in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other) and one.abs().max() < 1


def test_no_data() -> None:
    with pytest.raises(BadRequest, match="no data; give --data"):
        upscaler.train(UpscalerRecipe())


def test_shipped_recipe_reads() -> None:
    assert load(Path("configs/train/emoji-upscaler.yaml"), UpscalerRecipe).channels == 48
