import numpy as np
import pytest
import torch
from emoji_folder import drawing, drawings, images  # noqa: F401  fixtures
from torch import Tensor

from mmgen.errors import BadRequest
from mmgen.training.data.emoji_images import COLOURS, EmojiImages
from mmgen.training.data.scene_renderer import Augment, SceneRenderer
from mmgen.training.data.synthetic_captions import LAYOUTS

# ruff: noqa: F811
STILL = Augment(mirror=0, shift=False, scale=0)


def paint(painter: SceneRenderer, layout: str, a: int, b: int, background: int = -1, style: int = 0, seed: int = 0) -> Tensor:
    row = (np.array([value]) for value in (LAYOUTS.index(layout), a, b, style, background))
    return painter.draw(*row, np.random.default_rng(seed))[0]


def over(pixels: np.ndarray, colour: str) -> np.ndarray:
    """The naive twin: (64, 64, 4) RGBA over a colour -> (3, 64, 64) in [-1, 1]."""
    alpha = pixels[..., 3:] / 255
    mixed = pixels[..., :3] * alpha + np.array(COLOURS[colour]) * (1 - alpha)
    return (mixed / 127.5 - 1).transpose(2, 0, 1)


def half(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(3, 32, 2, 32, 2).mean((2, 4))


def test_one_thing_as_it_was_drawn(images: EmojiImages) -> None:
    shown = paint(SceneRenderer(images, augment=STILL), "single", 3, 3, background=5)
    np.testing.assert_allclose(shown, over(drawing(3, 0), "blue"), atol=1e-5)
    small = paint(SceneRenderer(images, 32, STILL), "single", 3, 3)
    np.testing.assert_allclose(small, half(over(drawing(3, 0), "white")), atol=1e-5)


@pytest.mark.parametrize(("layout", "corners"), [
    ("left", {(0, 16): 3, (32, 16): 4}), ("right", {(32, 16): 3, (0, 16): 4}), ("above", {(16, 0): 3, (16, 32): 4}),
    ("below", {(16, 32): 3, (16, 0): 4}), ("two", {(0, 16): 3, (32, 16): 3}), ("three", {(16, 0): 3, (0, 32): 3, (32, 32): 3}),
    ("four", {(0, 0): 3, (32, 0): 3, (0, 32): 3, (32, 32): 3}),
])  # fmt: skip
def test_layouts(images: EmojiImages, layout: str, corners: dict[tuple[int, int], int]) -> None:
    expected = over(np.zeros((64, 64, 4)), "white")
    for (x, y), thing in corners.items():
        expected[:, y : y + 32, x : x + 32] = half(over(drawing(thing, 0), "white"))
    second = 4 if layout in ("left", "right", "above", "below") else 3
    np.testing.assert_allclose(paint(SceneRenderer(images, augment=STILL), layout, 3, second), expected, atol=1e-5)


def test_mirroring_spares_what_has_a_direction(images: EmojiImages) -> None:
    mirror, still = (
        SceneRenderer(images, augment=Augment(mirror=1, shift=False, scale=0)),
        SceneRenderer(images, augment=STILL),
    )
    assert torch.equal(paint(mirror, "single", 3, 3), paint(still, "single", 3, 3).flip(-1))
    arrow = images.names.index("left arrow")
    assert torch.equal(paint(mirror, "single", arrow, arrow), paint(still, "single", arrow, arrow))


@pytest.mark.parametrize("side", [64, 32])
def test_moves_are_whole_pixels_and_cut_nothing_off(images: EmojiImages, side: int) -> None:
    painter, still = SceneRenderer(images, side, Augment(mirror=0, scale=0)), SceneRenderer(images, side, STILL)
    whole = paint(still, "single", 3, 3)
    moved = [paint(painter, "single", 3, 3, seed=seed) for seed in range(20)]
    assert len({tuple((m - 1).nonzero()[0].tolist()) for m in moved}) > 5
    for m in moved:
        assert m.sum().item() == pytest.approx(whole.sum().item(), rel=1e-5)
        assert len(m.unique()) == len(whole.unique())  # no blur


def test_a_smaller_thing_keeps_its_share(images: EmojiImages) -> None:
    shrunk = paint(SceneRenderer(images, augment=Augment(mirror=0, scale=1, smallest=0.5)), "single", 3, 3)
    ratio = (shrunk - 1).sum() / (paint(SceneRenderer(images, augment=STILL), "single", 3, 3) - 1).sum()
    assert 0.25 < ratio < 0.98


def test_vendors(images: EmojiImages) -> None:
    painter = SceneRenderer(images, augment=STILL)
    np.testing.assert_allclose(paint(painter, "single", 3, 3, style=1), over(drawing(3, 1), "white"), atol=1e-5)
    seen = {paint(painter, "single", 3, 3, style=-1, seed=seed).sum().item() for seed in range(20)}
    assert len(seen) == 2
    arrow = images.names.index("left arrow")
    assert paint(painter, "single", arrow, arrow, style=-1).min() < 0  # drawn by the one vendor who has it


def test_a_favoured_vendor_draws_what_no_style_is_named_for(images: EmojiImages) -> None:
    painter = SceneRenderer(images, augment=STILL.model_copy(update={"vendor": "twemoji"}))
    for seed in range(10):
        np.testing.assert_allclose(paint(painter, "single", 3, 3, style=-1, seed=seed), over(drawing(3, 1), "white"), atol=1e-5)
    np.testing.assert_allclose(paint(painter, "single", 3, 3, style=0), over(drawing(3, 0), "white"), atol=1e-5)
    arrow = images.names.index("left arrow")
    assert paint(painter, "single", arrow, arrow, style=-1).min() < 0  # drawn by the one vendor who has it
    with pytest.raises(BadRequest, match=r"augment\.vendor is 'apple'; it can be noto, twemoji, or empty"):
        SceneRenderer(images, augment=Augment(vendor="apple"))


def test_another_side(images: EmojiImages) -> None:
    with pytest.raises(BadRequest, match="side 48 are not made; choose 64 or 32"):
        SceneRenderer(images, 48)
