"""The same image saved anew is recognised, another one is not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mmgen.ingest import near_duplicates


def scene(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Smooth colours with a few discs."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for x, y, radius in rng.integers(20, 200, (4, 3)).tolist():
        pen.ellipse((x, y, x + radius // 3, y + radius // 3), tuple(rng.integers(0, 256, 3).tolist()))
    return image


def alike(one: Image.Image, other: Image.Image) -> bool:
    hashes = np.array([near_duplicates.dhash(other)], dtype=np.int64)
    near = len(near_duplicates.near(near_duplicates.dhash(one), hashes)) == 1
    return near and near_duplicates.same(near_duplicates.thumbnail(one), near_duplicates.thumbnail(other))


def saved(image: Image.Image, how: str, **options: int) -> Image.Image:
    out = io.BytesIO()
    image.save(out, how, **options)
    return Image.open(out).convert("RGB")


@pytest.mark.parametrize("seed", range(8))
def test_saved_anew(seed: int) -> None:
    image = scene(seed)
    assert alike(image, saved(image, "JPEG", quality=40)) and alike(image, saved(image, "WEBP", quality=40))
    assert alike(image, image.resize((160, 120))) and alike(image, image.resize((900, 675)))


def test_others() -> None:
    scenes = [scene(seed) for seed in range(40)]
    assert not any(alike(one, other) for n, one in enumerate(scenes) for other in scenes[:n])


def test_colour_and_a_small_part_count() -> None:
    image = scene(1)
    red, green, blue = image.split()
    assert not alike(image, Image.merge("RGB", (blue, red, green)))
    hands = [Image.new("RGB", (64, 64), "white") for _ in range(2)]
    for clock, end in zip(hands, ((32, 8), (52, 32)), strict=True):
        pen = ImageDraw.Draw(clock)
        pen.ellipse((4, 4, 60, 60), "#ddeeff", "black", 3)
        pen.line((32, 32, *end), "black", 4)
    assert not alike(*hands) and alike(hands[0], hands[0])


def test_near_counts_bits() -> None:
    bits = [0, 1, 0b111111, 0b1111111, -1, -(2**63)]
    assert near_duplicates.near(0, np.array(bits, dtype=np.int64)).tolist() == [0, 1, 2, 5]
    assert near_duplicates.near(-1, np.array(bits, dtype=np.int64)).tolist() == [4]


def test_flat_images_have_no_direction() -> None:
    assert near_duplicates.dhash(Image.new("RGB", (9, 9), "red")) == near_duplicates.dhash(Image.new("L", (1, 1))) == 0
    assert not alike(Image.new("RGB", (9, 9), "red"), Image.new("RGB", (9, 9), "blue"))


def test_small_ones_are_kept_as_they_are() -> None:
    small = scene(3, (80, 60))
    assert near_duplicates.opened(near_duplicates.thumbnail(small)).tobytes() == small.tobytes()
    assert near_duplicates.opened(near_duplicates.thumbnail(scene(3, (1000, 500)))).size == (256, 128)
    assert near_duplicates.opened(near_duplicates.thumbnail(Image.new("RGB", (1, 5000)))).size == (1, 256)


@pytest.mark.parametrize(("size", "kept"), [((512, 900), (512, 900)), ((1024, 2048), (512, 1024)), ((9000, 1), (9000, 1))])
def test_reduced(size: tuple[int, int], kept: tuple[int, int]) -> None:
    assert near_duplicates.reduced(Image.new("RGB", size)).size == kept
