"""The recipe at its smallest: resumed equals undisturbed, and it learns."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmgen.config import load
from mmgen.errors import BadRequest
from mmgen.models.diffusion.upscalers import image_upscaler
from mmgen.training import loop
from mmgen.training.data.super_resolution_pairs import PARTS
from mmgen.training.loop import LoopRecipe
from mmgen.training.mixed_precision import accelerator
from mmgen.training.recipes import super_resolution
from mmgen.training.recipes.super_resolution import SuperResolutionRecipe, SuperResolutionRun
from mmgen.training.run_log import RunLog


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Squares of one colour on another."""
    rng, folder = np.random.default_rng(0), tmp_path / "pairs"
    for name, count in (("training", 6), ("held_out", 2)):
        large = np.broadcast_to(rng.integers(0, 256, (count, 3, 1, 1), dtype=np.uint8), (count, 3, 256, 256)).copy()
        for one in large:
            top, left = rng.integers(0, 128, 2)
            one[:, top : top + 99, left : left + 77] = rng.integers(0, 256, (3, 1, 1))
        small = large.reshape(count, 3, 64, 4, 64, 4).mean((3, 5)).astype(np.uint8)
        (folder / name).mkdir(parents=True)
        for part, array in zip(PARTS, (large, small, small, np.zeros(count, bool)), strict=True):
            np.save(folder / name / f"{part}.npy", array)
    return folder


def run(pairs: Path, out: Path, **values: object) -> tuple[SuperResolutionRun, bool]:
    minutes = values.pop("stop_after_minutes", None)
    recipe = SuperResolutionRecipe(out=out, width=8, blocks=1, crop=8, steps=6, batch=2, validate_every=3)
    out.mkdir(exist_ok=True)
    task = SuperResolutionRun(recipe, pairs)
    settings = LoopRecipe(out=out, steps=recipe.steps, batch=recipe.batch, validate_every=recipe.validate_every)
    return task, loop.run(settings, task, RunLog(out, 6), accelerator("no"), minutes)  # type: ignore[arg-type]


def test_resumed_equals_undisturbed(pairs: Path, tmp_path: Path) -> None:
    whole, done = run(pairs, tmp_path / "a")
    assert done and not run(pairs, tmp_path / "b", stop_after_minutes=0)[1]
    again, done = run(pairs, tmp_path / "b")
    assert done and all(
        torch.equal(one, other) for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True)
    )
    notes = [json.loads(line) for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in notes if "psnr" in row] == [3, 6]
    upscaler = image_upscaler.load(tmp_path / "a" / "model" / "model.safetensors")
    assert upscaler.factor == 4 and upscaler.decode(torch.zeros(1, 3, 5, 7)).shape == (1, 3, 20, 28)


def test_rows_show_one_place_in_both_sizes(pairs: Path, tmp_path: Path) -> None:
    recipe = SuperResolutionRecipe(out=tmp_path, crop=16, batch=8, roughness=0.0, width=4, blocks=1)
    batch = SuperResolutionRun(recipe, pairs).inputs(5)
    assert batch.small.shape == (8, 3, 16, 16) and batch.large.shape == (8, 3, 64, 64)
    assert (torch.nn.functional.avg_pool2d(batch.large, 4) - batch.small).abs().max() < 1.01 / 255


def test_eight_orientations() -> None:
    image = np.arange(12).reshape(3, 2, 2)
    assert len({super_resolution.turned(image, turn).tobytes() for turn in range(8)}) == 8


def test_no_data() -> None:
    with pytest.raises(BadRequest, match="no data; give --data"):
        super_resolution.train(SuperResolutionRecipe())


def test_shipped_recipe_reads() -> None:
    assert load(Path("configs/train/emoji-super-resolution.yaml"), SuperResolutionRecipe).pairs.count == 4000
