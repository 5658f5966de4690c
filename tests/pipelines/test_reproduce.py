"""An image drawn again: bit by bit, or with the reason why not."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

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
