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


def test_masks_that_do_not_fit(draw: Inpaint, photo: Image.Image, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="the mask is 8 x 8 pixels, the image 16 x 16; make them the same size"):
        draw(photo, Image.new("L", (8, 8), 255), "a cat")
    with pytest.raises(BadRequest, match="the mask is black or transparent all over"):
        draw(photo, Image.new("1", (16, 16)), "a cat")
