from pathlib import Path

import numpy as np
import pytest
from emoji_folder import THINGS, VENDORS, drawing, drawings, images, row  # noqa: F401  fixtures

from mmgen.errors import BadRequest
from mmgen.training.data import emoji_dataset
from mmgen.training.data.emoji_images import COLOURS, EmojiImages, mirrors

# ruff: noqa: F811


def test_loading(images: EmojiImages) -> None:
    assert len(images) == 2 * len(THINGS) and images.vendors == VENDORS
    assert images.pixels.shape == (len(images), 64, 4, 64)
    third = images.table[images.names.index(THINGS[2]), 1]
    assert (images.pixels[third].permute(0, 2, 1).numpy() == drawing(2, 1)).all()
    alone = images.names.index("left arrow")  # only noto drew it, twemoji drew what it replaced
    assert (images.table[alone] >= 0).tolist() == [True, False]


def test_filters(drawings: Path) -> None:
    some = EmojiImages.load(drawings, vendors=["noto"], leave_out=["symbols"])
    assert len(some) == len(THINGS) - 1 and some.vendors == ("noto",) and "left arrow" not in some.names
    with pytest.raises(
        BadRequest, match=r'vendor \'noot\' is not in the data set \(did you mean "noto"\?\); it has noto, twemoji'
    ):
        EmojiImages.load(drawings, vendors=["noot"])
    with pytest.raises(BadRequest, match="group 'people' is not in the data set"):
        EmojiImages.load(drawings, leave_out=["people"])


def test_pixels_are_premultiplied(tmp_path: Path) -> None:
    image = np.zeros((64, 64, 4), dtype=np.uint8)
    image[5, 9] = (200, 100, 0, 51)
    emoji_dataset.write(tmp_path / "set", [row("noto", "a")], [image])
    found = EmojiImages.load(tmp_path / "set")
    assert found.pixels[0, 5, :, 9].tolist() == [40, 20, 0, 51] and found.margins.tolist() == [[9, 54, 5, 58]]


def test_margins_and_keywords(images: EmojiImages) -> None:
    assert images.margins[0].tolist() == [6, 6, 6, 6]
    thing = images.names.index(THINGS[5])
    assert images.keywords[thing][0] == f"like {THINGS[5]}"  # the rarest word tells most


@pytest.mark.parametrize(("name", "group", "may"), [
    ("cat face", "animals-nature", True), ("backhand index pointing left", "people-body", False),
    ("ten o’clock", "travel-places", False), ("clockwise vertical arrows", "symbols", False),
    ("1st place medal", "activities", False), ("bright sun", "travel-places", True),
])  # fmt: skip
def test_what_may_be_mirrored(name: str, group: str, may: bool) -> None:
    assert mirrors({"name": name, "keywords": [], "group": group}) is may


def test_a_keyword_forbids_mirroring() -> None:
    assert not mirrors({"name": "memo", "keywords": ["pencil", "letters"], "group": "objects"})


def test_clashes(images: EmojiImages) -> None:
    pixels = np.zeros((1, 64, 4, 64), dtype=np.uint8)
    pixels[0, 8:56, :, 8:56] = np.array([255, 255, 255, 255])[None, :, None]
    white = EmojiImages.build([row("noto", "snow")], pixels).clashes[0]
    assert white.tolist() == [name == "white" for name in COLOURS]
