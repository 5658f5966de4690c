"""The recipe on tiny drawings and images: it learns, a killed run ends where an undisturbed one does, its folder is used."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from emoji_folder import drawings  # noqa: F401  a fixture
from PIL import Image

from mmgen.config import load
from mmgen.errors import BadRequest, TooLong
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.vision import dual_encoder
from mmgen.training.recipes import clip as recipe_module
from mmgen.training.recipes.clip import ClipRecipe, ClipRun

# ruff: noqa: F811
CONFIGS = Path(__file__).parents[3] / "configs" / "train"
VISION = {
    "image_size": 16,
    "patch": 8,
    "stem": [8],
    "hidden_size": 16,
    "layers": 1,
    "heads": 2,
    "intermediate_size": 32,
    "pooling": "mean",
}
TEXT = {
    "hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 32, "max_tokens": 16, "causal": True, "norm_at": "pre",
    "embedding_norm": False,
}  # fmt: skip
COLOURS = {"red": (255, 0, 0), "green": (0, 160, 0), "blue": (0, 0, 255), "black": (0, 0, 0), "white": (255, 255, 255)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 images of one colour each, with their captions."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for n in range(100):
        name, colour = list(COLOURS.items())[n % len(COLOURS)]
        noisy = np.clip(np.array(colour) + rng.normal(0, 20, (24, 24, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{n:03}.png")
        (folder / f"{n:03}.txt").write_text(f"a {name} square\nall {name}\n")
    return folder


def recipe_of(data: Path, out: Path, encoder: Path, **more: object) -> ClipRecipe:
    values = {
        "data": str(data), "out": str(out), "vision": VISION, "dimension": 16, "sentences": str(encoder), "steps": 60,
        "batch": 24, "validate_every": 30, "schedule": {"peak": 1e-2}, "images": {"held_out": 0.2},
    }  # fmt: skip
    return load({**values, **more}, ClipRecipe)


@pytest.fixture(scope="module")
def whole(data: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> ClipRecipe:
    """A finished run that several tests look at."""
    vision = {**VISION, "dropout": 0.1}
    more = {"vision": vision, "more_captions": 8, "text_noise": 0.1, "together": 10}
    recipe = recipe_of(data, tmp_path_factory.mktemp("whole"), tiny_encoder, **more)
    assert recipe_module.train(recipe)
    return recipe


def lines(recipe: ClipRecipe) -> list[dict[str, float]]:
    return [json.loads(line) for line in (recipe.out / "metrics.jsonl").read_text().splitlines()]


def trained(recipe: ClipRecipe) -> dict[str, torch.Tensor]:
    return safetensors_io.read(recipe.out / "checkpoint" / "model.safetensors")


def test_it_learns_and_says_so(whole: ClipRecipe) -> None:
    rows = [row for row in lines(whole) if "loss" in row]
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"] and rows[-1]["images_per_second"] > 0
    told = [row for row in lines(whole) if "text to image R@1" in row]
    assert [row["step"] for row in told] == [30, 60]
    assert told[-1]["text to image R@1"] > 0.7 and told[-1]["image to text R@1"] > 0.7  # by chance: a fifth
    assert (whole.out / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_the_exported_model_is_a_image_encoder(whole: ClipRecipe) -> None:
    model = dual_encoder.load(whole.out / "model")
    images = [Image.new("RGB", (50, 40), COLOURS[name]) for name in ("red", "blue")]
    assert "a red square" in (whole.out / "model" / "captions.txt").read_text().splitlines()
    cosines = model.embed_images(images) @ model.embed_texts(["a red square", "a blue square"]).T
    assert cosines[0, 0] > cosines[0, 1] and cosines[1, 1] > cosines[1, 0]


def test_a_killed_run_goes_on_to_the_same_bits(whole: ClipRecipe, tmp_path: Path) -> None:
    broken = whole.model_copy(update={"out": tmp_path / "broken", "checkpoint_minutes": 0.0})
    (tmp_path / "recipe.yaml").write_text(broken.model_dump_json())  # JSON is YAML
    arguments = [sys.executable, "-m", "mmgen", "train", "clip", "--config", str(tmp_path / "recipe.yaml")]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, env={**os.environ, **threads})
    progress = broken.out / "checkpoint" / "progress.json"
    deadline = time.monotonic() + 120
    while not progress.is_file():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert recipe_module.train(broken.model_copy(update={"checkpoint_minutes": 5.0}))
    expected, found = trained(whole), trained(broken)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_batch_in_parts_has_the_gradients_of_the_whole(data: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    found = []
    for together in (0, 7):
        run = ClipRun(recipe_of(data, tmp_path / "run", tiny_encoder, together=together, more_captions=5))
        ((batch, weight),) = run.parts(0, 0, 1)
        (run.loss(batch)["loss"] * weight).backward()
        found.append({name: one.grad for name, one in run.model.named_parameters()})
    for name, expected in found[0].items():
        torch.testing.assert_close(found[1][name], expected, atol=1e-6, rtol=1e-4)


def test_processes_share_a_batch(data: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    run = ClipRun(recipe_of(data, tmp_path / "run", tiny_encoder))
    ((one, _),), ((other, _),) = (run.parts(0, process, 2) for process in (0, 1))
    assert len(one.pixels) == len(other.pixels) == 12 and not torch.equal(one.pixels, other.pixels)


def test_drawings(drawings: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    """Recall is of a vendor whose drawings are never shown, each with its name."""
    section = {"held_out": ["twemoji"], "leave_out": [], "pool": 50}
    more = {
        "drawings": section,
        "scale": 20,
        "vision": {**VISION, "image_size": 64, "pooling": "places"},
        "steps": 2,
        "more_captions": 30,
    }
    recipe = recipe_of(drawings, tmp_path / "run", tiny_encoder, **more)
    assert recipe_module.train(recipe)
    (told,) = (row for row in lines(recipe) if "text to image R@5" in row)
    assert told["step"] == 2 and 0 <= told["text to image R@5"] < 1
    found = dual_encoder.load(recipe.out / "model")
    assert float(found.scale.exp()) == pytest.approx(20, rel=1e-3)  # it is kept, in half precision
    run = ClipRun(recipe)
    assert len(run.pairs.held_out.captions) == 36
    assert (recipe.out / "model" / "captions.txt").read_text().splitlines() == run.pairs.images.names  # type: ignore[attr-defined]


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_two_towers(data: Path, tiny_encoder: Path, tmp_path: Path, loss: str) -> None:
    """The tokenizer is trained on the captions and lies beside the weights."""
    more = {"text": TEXT, "tokenizer": {"vocabulary": 270}, "loss": loss, "steps": 80, "together": 16}
    recipe = recipe_of(data, tmp_path / "run", tiny_encoder, **more)
    assert recipe_module.train(recipe)
    assert [row for row in lines(recipe) if "text to image R@1" in row][-1]["text to image R@1"] > 0.5
    model = dual_encoder.load(recipe.out / "model")
    assert model.independent == (loss == "sigmoid")
    row = model.tokenize(["a red square"])[0]
    assert row[-1] == model.texts.tokenizer.id("<|endoftext|>") and len(row) < 16  # type: ignore[attr-defined]
    images = [Image.new("RGB", (16, 16), COLOURS[name]) for name in ("red", "black")]
    cosines = model.embed_images(images) @ model.embed_texts(["a red square", "a black square"]).T
    assert cosines[0, 0] > cosines[0, 1] and cosines[1, 1] > cosines[1, 0]


def test_what_cannot_be(data: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no data; give --data images with captions"):
        ClipRun(recipe_of(data, tmp_path, tiny_encoder).model_copy(update={"data": None}))
    with pytest.raises(BadRequest, match=r"vision\.image_size is 16, the drawings have 64 pixels a side; say 64"):
        ClipRun(recipe_of(data, tmp_path, tiny_encoder, drawings={}))
    with pytest.raises(BadRequest, match="say causal: true in text"):
        ClipRun(recipe_of(data, tmp_path / "a", tiny_encoder, text={**TEXT, "causal": False}, tokenizer={"vocabulary": 270}))
    with pytest.raises(TooLong, match=r"tokens, the text tower reads 3; raise max_tokens"):
        ClipRun(recipe_of(data, tmp_path / "b", tiny_encoder, text={**TEXT, "max_tokens": 3}, tokenizer={"vocabulary": 270}))
    with pytest.raises(BadRequest, match=r"the texts give .* tokens, not 8192; give more text or ask for fewer"):
        ClipRun(recipe_of(data, tmp_path / "c", tiny_encoder, text=TEXT))


@pytest.mark.parametrize("name", ["emoji-clip-cpu", "emoji-clip-families", "emoji-clip-gpu", "clip"])
def test_shipped_recipes_are_read(name: str) -> None:
    recipe = load(CONFIGS / f"{name}.yaml", ClipRecipe)
    assert recipe.vision.image_size % recipe.vision.patch == 0
    assert (recipe.drawings is not None) == name.startswith("emoji")
    held_out = ("emojione", "streamline") if name == "emoji-clip-families" else ("fluent-flat",)
    assert recipe.drawings is None or recipe.drawings.held_out == held_out
