"""Recipes in PNGs, where the PNGs go, and that none is ever half written."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mmgen.errors import BadRequest, NotFound, UnreadableFile
from mmgen.pipelines.image import image_io, infotext, recipe
from mmgen.pipelines.image.recipe import Recipe, RecipeFile

MADE = Recipe(
    task="img2img",
    model="embedded:emoji",
    weights="ab" * 32,
    lora=(RecipeFile(file="cats.safetensors", sha256="cd" * 32, scale=0.5),),
    prompt="eine süße Katze 🐱",
    negative="rot",
    seed=2**63 - 1,
    solver="dpm++2m-karras",
    steps=20,
    guidance=7.5,
    width=8,
    height=4,
    strength=0.6,
    image=RecipeFile(file="photo.jpg", sha256="ef" * 32),
    versions={"mmgen": "1.2", "torch": "2"},
    device="cpu",
)
IMAGE = Image.new("RGB", (8, 4), "red")


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    recipe.save(IMAGE, MADE, path)
    assert recipe.read(path) == MADE and image_io.read(path).tobytes() == IMAGE.tobytes()
    assert [one.name for one in tmp_path.iterdir()] == ["a.png"]


def test_the_text_that_other_tools_read(tmp_path: Path) -> None:
    recipe.save(IMAGE, MADE, tmp_path / "a.png")
    assert image_io.read(tmp_path / "a.png").info["parameters"].splitlines() == [
        "eine süße Katze 🐱 <lora:cats:0.5>",
        "Negative prompt: rot",
        "Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 9223372036854775807, Size: 8x4, Model hash: ababababab, "
        'Model: "embedded:emoji", Denoising strength: 0.6, Lora hashes: "cats: cdcdcdcdcdcd", Version: mmgen 1.2',
    ]


def test_a_later_version_says_more(tmp_path: Path) -> None:
    chunks = PngInfo()
    chunks.add_text("mmgen", json.dumps(MADE.model_dump() | {"invented_later": 1}))
    IMAGE.save(tmp_path / "a.png", pnginfo=chunks)
    assert recipe.read(tmp_path / "a.png") == MADE
    assert recipe.unknown(image_io.read(tmp_path / "a.png")) == ["invented_later"]


def test_other_tools_read_what_was_meant() -> None:
    """A model with a comma, line breaks, and lines of a prompt that begin as other parts do."""
    prompt = 'a cat, "quoted"\nNegative prompt: dogs\nSteps: 99, Sampler: x, Seed: 5'
    made = MADE.model_copy(update={"prompt": prompt, "negative": "a\nSteps: 1", "model": "/my, models: x/sd", "lora": ()})
    said = infotext.parse(made.parameters())
    assert said.prompt == prompt.replace("Negative prompt:", "negative prompt:").replace("Steps:", "steps:")
    assert said.negative == "a\nsteps: 1"
    assert (said.settings["Model"], said.settings["Steps"], said.settings["Seed"]) == (
        "/my, models: x/sd",
        "20",
        str(2**63 - 1),
    )


def test_images_without_recipe(tmp_path: Path) -> None:
    IMAGE.save(tmp_path / "a.png")
    with pytest.raises(UnreadableFile, match=r"a\.png holds no recipe; images that mmgen wrote"):
        recipe.read(tmp_path / "a.png")
    chunks = PngInfo()
    chunks.add_text("mmgen", '{"task": 3')
    IMAGE.save(tmp_path / "b.png", pnginfo=chunks)
    with pytest.raises(UnreadableFile, match=r"b\.png holds a damaged recipe"):
        recipe.read(tmp_path / "b.png")
    with pytest.raises(NotFound, match="does not exist"):
        recipe.read(tmp_path / "c.png")


def test_an_interrupt_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"before")

    def interrupted(self: Image.Image, file: Any, *_: Any, **__: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        recipe.save(IMAGE, MADE, path)
    assert path.read_bytes() == b"before" and [one.name for one in tmp_path.iterdir()] == ["a.png"]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"cannot be written \(No such file or directory\); choose another place"):
        recipe.save(IMAGE, MADE, tmp_path / "gone" / "a.png")
