"""img2img: the strength decides how far from the image, and images of any kind are read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmgen.errors import BadRequest, NotFound, UnreadableFile
from mmgen.pipelines.image import image_io
from mmgen.pipelines.img2img import Img2Img
from mmgen.runtime import Runtime

FEW: dict[str, Any] = {"steps": 10, "seed": 7, "guidance": 1.0}


@pytest.fixture
def draw(studio: Runtime, pixel_model: Path) -> Img2Img:
    return Img2Img(studio, model=str(pixel_model))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.linear_gradient("L").resize((40, 40)).convert("RGB").save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def distance(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean())


def test_strength(draw: Img2Img, photo: Path) -> None:
    given = image_io.read(photo).resize((16, 16))
    near, far = (draw(photo, "a cat", strength=strength, **FEW) for strength in (0.1, 1.0))
    assert near.images[0].size == (16, 16) and distance(near.images[0], given) < distance(far.images[0], given)
    made = near.recipes[0]
    assert made.image is not None and made.image.file == "photo.jpg" and made.strength == 0.1
    assert "Denoising strength: 0.1" in made.parameters()


def test_the_ratio_is_kept_unless_a_size_is_given(draw: Img2Img) -> None:
    wide = Image.new("RGBA", (64, 32))
    assert draw(wide, "a cat", **FEW).images[0].size == (24, 12)
    assert draw(wide, "a cat", width=16, height=16, **FEW).images[0].size == (16, 16)


def test_what_cannot_be_begun_with(draw: Img2Img, photo: Path, studio: Runtime, diffusion_transformer: Path) -> None:
    for strength in (0.0, -1.0, 1.1, float("nan")):
        with pytest.raises(BadRequest, match=f"strength is {strength}; it can be above 0"):
            draw(photo, "a cat", strength=strength)
    with pytest.raises(BadRequest, match=r"strength 0\.01 of 10 steps leaves none to run; use at least 0\.1"):
        draw(photo, "a cat", strength=0.01, steps=10)
    with pytest.raises(BadRequest, match=r"height is \d+ pixels; .* draws"):
        draw(Image.new("L", (1, 100_000)), "a cat")
    with pytest.raises(NotFound, match=r"image nowhere\.png does not exist"):
        draw("nowhere.png", "a cat")
    with pytest.raises(UnreadableFile, match="is no image"):
        draw(Path(__file__), "a cat")
    with pytest.raises(BadRequest, match="draws from words alone here; take a model with a UNet"):
        Img2Img(studio, model=str(diffusion_transformer))(photo, "a cat")
