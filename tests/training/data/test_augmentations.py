import numpy as np
import pytest
import torch
from emoji_folder import drawings, images  # noqa: F401  fixtures

from mmgen.training.data import augmentations
from mmgen.training.data.emoji_images import EmojiImages

# ruff: noqa: F811


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def random_images(count: int = 6) -> torch.Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_clean_is_as_drawn_on_white(images: EmojiImages) -> None:
    found = augmentations.clean(images, np.arange(4), np.zeros(4, dtype=int))
    drawn = images.pixels[torch.from_numpy(images.table[:4, 0])].permute(0, 2, 1, 3).float()  # (B, 4, y, x)
    expected = (drawn[:, :3] + 255 - drawn[:, 3:]) / 127.5 - 1
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "change",
    [
        augmentations.distort,
        augmentations.warped,
        lambda x, r: augmentations.recoloured(x, np.ones(6, bool), r),
        lambda x, r: augmentations.repainted(x, np.ones(6, bool), r),
    ],
)
def test_changes_come_from_their_generator_alone(change) -> None:  # type: ignore[no-untyped-def]
    before = random_images()
    one, again, other = change(before, rng()), change(before, rng()), change(before, rng(1))
    assert torch.equal(one, again) and not torch.equal(one, other) and not torch.equal(one, before)
    assert one.shape == before.shape and one.amin() >= -1 and one.amax() <= 1
    assert torch.equal(before, random_images())


def test_a_warp_by_nothing_changes_nothing() -> None:
    torch.testing.assert_close(
        augmentations.warped(random_images(), rng(), turn=0, zoom=0, move=0), random_images(), atol=1e-5, rtol=0
    )


def test_a_move_is_of_pixels_and_the_edge_goes_on() -> None:
    bar = torch.full((1, 3, 32, 32), -1.0)
    bar[..., 14:18] = 1
    moved = augmentations.warped(bar.expand(40, -1, -1, -1), rng(), turn=0, zoom=0, move=0.2)
    places = (moved[:, 0] + 1).sum(1).argmax(1)
    assert places.min() < 12 and places.max() > 18  # 0.2 of 32 pixels to either side
    assert (moved[..., 0] == -1).all() and ((moved + 1).sum((1, 2, 3)) - (bar + 1).sum()).abs().max() < 1


def test_only_some_are_recoloured() -> None:
    before, some = random_images(), np.array([True, False] * 3)
    after = augmentations.recoloured(before, some, rng())
    torch.testing.assert_close(after[1::2], before[1::2], atol=1 / 255, rtol=0)
    assert (after[::2] - before[::2]).abs().amax((1, 2, 3)).min() > 0.1


def test_outlines_are_dark_and_stand_at_the_edges() -> None:
    square = torch.ones(40, 3, 16, 16)
    square[..., 4:12, 4:12] = torch.tensor([1.0, -1.0, 0.0])[:, None, None]
    some = np.arange(40) % 2 == 0
    found = augmentations.outlined(square, some, rng())
    assert torch.equal(found[1::2], square[1::2]) and (found[::2, :, 4, 4:12] == -1).all()
    assert torch.equal(found, augmentations.outlined(square, some, rng()))
    inside = found[::2, 1, 8, 8]
    assert set(inside.tolist()) == {-1.0, 1.0} and (found[::2, :, 0, 0] == 1).all()


def test_palettes_exchange_colours() -> None:
    some = np.arange(6) < 3
    found, before = augmentations.repainted(random_images(), some, rng()), random_images()
    assert torch.equal(found[3:], before[3:])
    for one, was in zip(found[:3], before[:3], strict=True):
        sums = {round(float(channel.abs().sum()), 3) for channel in was}
        assert {round(float(channel.abs().sum()), 3) for channel in one} == sums
