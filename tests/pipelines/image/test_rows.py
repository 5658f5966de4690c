"""Rows of a call: their seeds, and the image that those of one size share."""

from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from mmgen.errors import BadRequest
from mmgen.image_params import ImageParams
from mmgen.pipelines.image.rows import seeds_from, seeds_of, settle


def test_seeds() -> None:
    assert seeds_of([ImageParams(seed=5, n=2), ImageParams(seed=5, n=2)]) == [5, 6, 7, 8]
    assert seeds_of([ImageParams(seed=seed, x="seed=1,9") for seed in (1, 9)]) == [1, 9]
    first, second = seeds_of([ImageParams(x="steps=1,2", seed=-1)] * 2)
    assert first == second
    with pytest.raises(BadRequest, match="with 2 images it can be 0 to"):
        seeds_from(2**63 - 1, 2)


def test_rows_of_one_size_share_the_image() -> None:
    client: Any = SimpleNamespace(fit=lambda width, height: (16, 16), resolved=lambda params: params)
    asked = [ImageParams(steps=1), ImageParams(steps=2), ImageParams(width=8)]
    one, two, small = settle(asked, client, Image.new("RGB", (20, 20)), None)
    assert one.pixels is two.pixels and one.size == (16, 16) and small.size == (8, 16)
