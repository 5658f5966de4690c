"""An image drawn again: bit by bit, or with the reason why not."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mmgen.errors import BadRequest, NotFound
from mmgen.pipelines.image import image_io, recipe
from mmgen.pipelines.img2img import Img2Img
from mmgen.pipelines.inpaint import Inpaint
from mmgen.pipelines.reproduce import reproduce
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime


@pytest.fixture
def cat(studio: Runtime, tmp_path: Path) -> Path:
    (path,) = Txt2Img(studio)("a cat", steps=3, solver="euler-a", negative="red").save(tmp_path / "cat.png")
    return path


def rewritten(path: Path, **values: object) -> Path:
    """The same image, with another recipe."""
    recipe.save(image_io.read(path), recipe.read(path).model_copy(update=values), path)
    return path


def test_bit_by_bit(studio: Runtime, cat: Path) -> None:
    steps = []
    found = reproduce(studio, cat, progress=steps.append)
    assert found.equal and found.changed == () and str(found) == f"{cat} is reproduced bit by bit" and len(steps) == 3
    assert found.to_dict() == {"file": str(cat), "equal": True, "difference": 0, "changed": ()}


def test_other_versions_and_weights(studio: Runtime, cat: Path) -> None:
    old = {**recipe.read(cat).versions, "torch": "1.0"}
    found = reproduce(studio, rewritten(cat, versions=old, weights="0" * 64, device="cuda"))
    assert found.equal and "the weights of" in str(found) and "torch was 1.0 and is" in str(found)
    assert found.changed[-1] == "it was drawn on cuda, now on cpu"


def test_another_image(studio: Runtime, cat: Path) -> None:
    found = reproduce(studio, rewritten(cat, prompt="a dog"))
    assert not found.equal and f"the largest difference of a pixel is {found.difference} of 255" in str(found)
    assert "nothing else is known to differ" in str(found)


def test_another_tools_parameters(studio: Runtime, tmp_path: Path) -> None:
    """Drawn as far as they can be followed, and told where they cannot."""
    said = PngInfo()
    settings = "Steps: 3, Sampler: Euler a, CFG scale: 6.5, Seed: 4, Size: 16x16, Model hash: 6ce016, Model: sd15, Clip skip: 2"
    said.add_text("parameters", f"a (red:1.2) cat\nNegative prompt: blue\n{settings}, Version: v1.9.4")
    Image.new("RGB", (16, 16)).save(tmp_path / "theirs.png", pnginfo=said)
    with pytest.raises(
        BadRequest, match=r"made by A1111 v1.9.4 with model sd15, model hash 6ce016; say which it is with --model"
    ):
        reproduce(studio, tmp_path / "theirs.png")
    found = reproduce(studio, tmp_path / "theirs.png", model=studio.config.denoiser)
    expected = Txt2Img(studio)("a (red:1.2) cat", negative="blue", steps=3, solver="euler-a", guidance=6.5, seed=4, width=16)
    assert found.image.tobytes() == expected.images[0].tobytes() and found.recipe == expected.recipes[0]
    assert not found.equal and found.changed[0] == "Clip skip: 2 is not followed" and "noise" in found.changed[1]


def test_a_later_version_is_told(studio: Runtime, cat: Path) -> None:
    said = PngInfo()
    said.add_text("mmgen", json.dumps({**json.loads(image_io.read(cat).info["mmgen"]), "invented_later": 1}))
    image_io.read(cat).save(cat, pnginfo=said)
    assert "it says invented_later, which a later version of mmgen wrote" in reproduce(studio, cat).changed


def test_what_it_began_with(studio: Runtime, tmp_path: Path) -> None:
    photo, mask = tmp_path / "photo.png", tmp_path / "mask.png"
    Image.linear_gradient("L").resize((16, 16)).save(photo)
    Image.new("1", (16, 16), 1).save(mask)
    (one,) = Img2Img(studio)(photo, "a cat", steps=4).save(tmp_path / "one.png")
    (two,) = Inpaint(studio)(photo, mask, "a cat", steps=3).save(tmp_path / "two.png")
    assert reproduce(studio, one).equal and reproduce(studio, two).equal
    Image.new("L", (16, 16), 90).save(photo)
    assert "photo.png is another image" in reproduce(studio, one).changed
    moved = Path(shutil.move(photo, tmp_path / "moved.png"))
    with pytest.raises(NotFound, match=r"began with photo\.png, which is not beside it; give it with --image or --mask"):
        reproduce(studio, one)
    assert reproduce(studio, one, sources=(moved, None)).changed == ("photo.png is another image",)
    with pytest.raises(BadRequest, match="began with no such image"):
        reproduce(studio, one, sources=(moved, mask))


def test_in_the_recipes_precision(studio: Runtime, cat: Path) -> None:
    assert recipe.read(cat).precision == "fp32"
    (path,) = Txt2Img(studio, model=f"{studio.config.denoiser}#bf16")("a cat", steps=3).save(cat.with_name("narrow.png"))
    made = recipe.read(path)
    assert made.precision == "bf16"
    again = reproduce(studio, rewritten(path, model=studio.config.denoiser))
    assert again.equal and again.recipe.precision == "bf16", "although the model would run in fp32 by itself"
    assert reproduce(studio, rewritten(cat, precision="")).recipe.precision == "fp32"
