"""inpaint: white is drawn anew, every other pixel stays."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmgen.errors import BadRequest
from mmgen.pipelines.inpaint import Inpaint
from mmgen.runtime import Runtime

FEW: dict[str, Any] = {"steps": 4, "seed": 7}


@pytest.fixture
def draw(studio: Runtime) -> Inpaint:
    return Inpaint(studio)


@pytest.fixture
def photo() -> Image.Image:
    return Image.linear_gradient("L").resize((16, 16)).convert("RGB")


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_only_the_white_is_drawn(draw: Inpaint, photo: Image.Image, strength: float) -> None:
    mask = Image.new("L", (16, 16))
    mask.paste(255, (0, 0, 8, 16))
    before = np.asarray(photo, dtype=int)
    after = np.asarray(draw(photo, mask, "a cat", strength=strength, **FEW).images[0], dtype=int)
    assert np.array_equal(before[:, 8:], after[:, 8:])
    assert np.abs(before[:, :8] - after[:, :8]).max() > 8


def test_only_the_masked_part_is_drawn_at_full_size(draw: Inpaint, tmp_path: Path) -> None:
    """A part of 12 x 12 about a mask of 8 x 8, drawn at the model's size; the recipe draws it again, in A1111's words too."""
    photo = Image.linear_gradient("L").resize((48, 40)).convert("RGB")
    mask = Image.new("L", photo.size)
    mask.paste(255, (30, 10, 38, 18))
    made = draw(photo, mask, "a cat", only_masked=2, width=16, height=16, **FEW)
    (image,), (recipe,) = made.images, made.recipes
    before, after = np.asarray(photo, dtype=int), np.asarray(image, dtype=int)
    assert image.size == photo.size and recipe.only_masked == 2 and (recipe.width, recipe.height) == (16, 16)  # type: ignore[attr-defined]
    changed = np.argwhere((before != after).any(-1))
    assert changed.min(0).tolist() >= [10, 30] and changed.max(0).tolist() <= [17, 37] and len(changed) > 32
    assert "Inpaint area: Only masked, Masked area padding: 2" in recipe.parameters()
    photo.save(tmp_path / "photo.png")
    mask.save(tmp_path / "mask.png")
    told = {name: value for name, value in recipe.options().items() if name != "image_guidance"}
    again = draw(tmp_path / "photo.png", tmp_path / "mask.png", **told)
    assert again.images[0].tobytes() == image.tobytes()


def test_masks_that_do_not_fit(draw: Inpaint, photo: Image.Image, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="the mask is 8 x 8 pixels, the image 16 x 16; make them the same size"):
        draw(photo, Image.new("L", (8, 8), 255), "a cat")
    with pytest.raises(BadRequest, match="the mask is black or transparent all over"):
        draw(photo, Image.new("1", (16, 16)), "a cat")
