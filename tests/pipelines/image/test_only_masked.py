"""The part of an image that a mask means: about it, of the ratio that is drawn, within the image."""

from itertools import product

import numpy as np
import pytest
from PIL import Image

from mmgen.pipelines.image.only_masked import cut, part_of, pasted, region, widened


def painted(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    mask = Image.new("L", size)
    mask.paste(255, box)
    return mask


def test_widened_keeps_what_it_has_and_stays_within() -> None:
    for first, last, length in product(range(5), range(5, 10), range(1, 14)):
        start, end = widened(first, last, length, 10)
        assert 0 <= start <= first and last <= end <= 10
        assert end - start == min(10, max(length, last - first))


@pytest.mark.parametrize(
    ("box", "padding", "size", "expected"),
    [
        ((40, 40, 50, 60), 0, (64, 64), (35, 40, 55, 60)),
        ((40, 40, 50, 60), 5, (64, 64), (30, 35, 60, 65)),
        ((0, 40, 10, 60), 5, (64, 64), (0, 35, 30, 65)),  # beside an edge it is moved
        ((10, 45, 90, 50), 0, (64, 128), (10, 0, 90, 100)),  # 160 rows are not there
        ((0, 0, 100, 100), 32, (64, 64), (0, 0, 100, 100)),
    ],
)
def test_region(box: tuple[int, int, int, int], padding: int, size: tuple[int, int], expected: tuple[int, ...]) -> None:
    assert region(painted((100, 100), box), padding, size) == expected


def test_pasted_back_it_is_the_image() -> None:
    """What is cut out at its own size and pasted back changes nothing; another image shows where the mask is white."""
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8))
    mask, box = painted(photo.size, (12, 12, 20, 20)), (8, 8, 24, 24)
    assert pasted(cut(photo, box, (16, 16)), photo, mask, box).tobytes() == photo.tobytes()
    red = pasted(Image.new("RGB", (64, 64), "red"), photo, mask, box)
    assert red.crop((12, 12, 20, 20)).getcolors() == [(64, (255, 0, 0))]
    assert red.crop((0, 0, 48, 12)).tobytes() == photo.crop((0, 0, 48, 12)).tobytes()


def test_another_image_is_cut_in_the_same_place() -> None:
    big = Image.linear_gradient("L").resize((96, 80))
    found = part_of(big, (48, 40), (8, 8, 24, 24), (32, 32))
    assert found.size == (32, 32)
    assert np.abs(np.asarray(found, dtype=int) - np.asarray(big.crop((16, 16, 48, 48)), dtype=int)).max() < 6
