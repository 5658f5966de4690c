"""variations: an image's own words under other seeds."""

from pathlib import Path

import pytest
from PIL import Image

from mmgen.errors import BadRequest
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.pipelines.variations import Variations
from mmgen.runtime import Runtime


def test_a_image_tells_what_it_shows(studio: Runtime, tmp_path: Path) -> None:
    (file,) = Txt2Img(studio)("a cat", negative="red", steps=2).save(tmp_path / "cat.png")
    images = Variations(studio)(file, steps=3, seed=4, n=2)
    assert images.seeds == [4, 5]
    assert {(one.task, one.prompt, one.negative, one.strength) for one in images.recipes} == {
        ("variations", "a cat", "red", 0.7)
    }
    assert Variations(studio)(file, prompt="a dog", steps=3, n=1).recipes[0].prompt == "a dog"


def test_any_other_image_needs_words(studio: Runtime) -> None:
    with pytest.raises(BadRequest, match="the image has no recipe that tells what it shows; say it with a prompt"):
        Variations(studio)(Image.new("RGB", (16, 16)))
