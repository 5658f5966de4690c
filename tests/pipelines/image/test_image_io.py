"""Images from files: what Pillow can read, as tensors; what it cannot, in one line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from mmgen.errors import NotFound, TooLarge, UnreadableFile
from mmgen.image_events import image_of
from mmgen.pipelines.image import image_io


def test_there_and_back() -> None:
    image = Image.effect_noise((6, 4), 80).convert("RGB")
    pixels = image_io.colours(image, (6, 4))
    assert pixels.shape == (3, 4, 6) and image_of(pixels).tobytes() == image.tobytes()
    assert image_of(torch.full((3, 1, 1), 7.0)).getpixel((0, 0)) == (255, 255, 255)


def test_what_is_transparent_is_white() -> None:
    assert image_io.colours(Image.new("RGBA", (2, 2), (0, 0, 0, 0)), (2, 2)).min() == 1
    assert image_io.colours(Image.new("LA", (2, 2), (0, 255)), (2, 2)).max() == -1


def test_masks() -> None:
    assert image_io.mask(Image.new("1", (4, 2), 1), (2, 2)).tolist() == [[[1, 1], [1, 1]]]


HALF = Image.new("L", (4, 2))
HALF.paste(255, (2, 0, 4, 2))


def layer(colour: str, below: str) -> Image.Image:
    """Painted on a transparent layer, right of the middle."""
    image = Image.new("RGBA", (4, 2), below)
    image.putalpha(0)
    image.paste(Image.new("RGBA", (2, 2), colour), (2, 0))
    return image


def palette() -> Image.Image:
    """White on white, of which one is transparent."""
    image = Image.new("P", (4, 2))
    image.putpalette([255] * 6)
    image.paste(1, (2, 0, 4, 2))
    image.info["transparency"] = 0
    return image


@pytest.mark.parametrize(
    "mask",
    [
        HALF, HALF.convert("1"), HALF.convert("RGB"), layer("white", "white"), layer("white", "black"), layer("red", "black"),
        Image.merge("LA", (Image.new("L", (4, 2), 255), HALF)), palette(),
        Image.fromarray(np.array(HALF, dtype=np.uint16) * 257),
    ],
)  # fmt: skip
def test_one_mask_as_programs_save_it(mask: Image.Image) -> None:
    """What is transparent is not painted, whatever its colour; paint counts, whatever its."""
    assert image_io.painted(mask).tobytes() == HALF.tobytes()
    assert image_io.mask(mask, (4, 2)).tolist() == [[[0, 0, 1, 1]] * 2]


def test_profiles_are_converted() -> None:
    """One whose red and blue are swapped; a damaged one is passed over."""
    image = Image.new("RGB", (2, 2), (255, 0, 0))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.info["icc_profile"] = profile.replace(b"rXYZ", b"....").replace(b"bXYZ", b"rXYZ").replace(b"....", b"bXYZ")
    red, green, blue = (int(value) for value in np.asarray(image_io.srgb(image))[0, 0])
    assert red < 8 and green < 8 and blue > 247
    for plain in (profile, b"rubbish", b""):
        image.info["icc_profile"] = plain
        assert np.abs(np.asarray(image_io.srgb(image), int) - (255, 0, 0)).max() <= 1


def test_16_bits_are_scaled() -> None:
    image = Image.fromarray(np.full((2, 2), 65535 // 2, dtype=np.uint16))
    assert abs(float(image_io.colours(image, (2, 2)).max())) < 0.01


def test_exif_turns_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert image_io.read(tmp_path / "a.jpg").size == (4, 6)


def test_what_is_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        image_io.read(tmp_path / "none.png")
    with pytest.raises(UnreadableFile, match="is no image; give a PNG"):
        image_io.read(Path(__file__))
    with pytest.raises(UnreadableFile, match="is a folder"):
        image_io.read(tmp_path)
    with pytest.raises(UnreadableFile, match="cannot be read"):
        image_io.read("x" * 5000)
    whole = tmp_path / "a.png"
    Image.effect_noise((64, 64), 80).save(whole)
    whole.write_bytes(whole.read_bytes()[:1000])
    with pytest.raises(UnreadableFile, match=r"a\.png cannot be read as an image \(.*truncated"):
        image_io.read(whole)


@pytest.mark.parametrize("pixels", [150, 450])  # Pillow warns above its limit and refuses above twice the limit
def test_a_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
    Image.new("RGB", (pixels, 1)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(TooLarge, match=r"bomb\.png has more than 100 pixels; make it smaller first"):
        image_io.read(tmp_path / "bomb.png")
