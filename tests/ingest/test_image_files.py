"""Images of every kind that people have, and files that only look like one."""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmgen.errors import NotFound, TooLarge, UnreadableFile
from mmgen.ingest import image_files

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def colour(path: Path, at: tuple[int, int] = (0, 0)) -> tuple[int, ...]:
    found = image_files.rgb(image_files.load(path)).getpixel(at)
    assert isinstance(found, tuple)
    return found


def near(one: tuple[int, ...], other: tuple[int, ...], by: int = 6) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= by


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "avif", "heic", "bmp", "tif"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    if suffix == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    Image.new("RGB", (20, 16), RED).save(tmp_path / f"a.{suffix}")
    assert near(colour(tmp_path / f"a.{suffix}"), RED)


def test_heic_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadableFile, match=r'is HEIC, which needs another package: pip install "mmgen\[heic\]"'):
        image_files.load(tmp_path / "a.heic")


def test_the_first_of_an_animation(tmp_path: Path) -> None:
    first, *rest = (Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE, WHITE))
    for suffix in ("gif", "webp", "png"):
        first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=rest, duration=100)
        assert near(colour(tmp_path / f"a.{suffix}"), RED)


def test_it_stands_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 16), RED)
    image.paste(BLUE, (16, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    assert image_files.load(tmp_path / "a.jpg").size == (16, 32)
    assert near(colour(tmp_path / "a.jpg", (8, 2)), RED, 30) and near(colour(tmp_path / "a.jpg", (8, 29)), BLUE, 30)


def test_print_colours(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    assert near(colour(tmp_path / "a.jpg"), RED)


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16)).save(tmp_path / "a.png")
    assert [colour(tmp_path / "a.png", (x, 0))[0] for x in range(3)] == [0, 128, 255]
    Image.fromarray(np.array([[0.0, 0.5, 2.0]], dtype=np.float32)).save(tmp_path / "a.tif")
    assert [colour(tmp_path / "a.tif", (x, 0))[0] for x in range(3)] == [0, 64, 255]


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.putpixel((1, 1), 1)
    palette.save(tmp_path / "a.png", transparency=0)
    assert colour(tmp_path / "a.png") == WHITE and colour(tmp_path / "a.png", (1, 1)) == RED
    Image.new("RGBA", (2, 2), (255, 0, 0, 128)).save(tmp_path / "b.png")
    assert near(colour(tmp_path / "b.png"), (255, 127, 127))
    Image.new("LA", (2, 2), (9, 0)).save(tmp_path / "c.png")
    assert colour(tmp_path / "c.png") == WHITE
    Image.new("1", (2, 2), 1).save(tmp_path / "d.png")
    assert colour(tmp_path / "d.png") == WHITE


def test_one_pixel(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), BLUE).save(tmp_path / "a.png")
    assert image_files.load(tmp_path / "a.png").size == (1, 1) and colour(tmp_path / "a.png") == BLUE


def test_what_the_file_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[image_files.DESCRIPTION] = "Tea\0 on\nthe roof"
    exif.get_ifd(image_files.EXIF_IFD)[image_files.TAKEN] = "2021:07:03 18:05:00"
    Image.new("RGB", (9, 5)).save(tmp_path / "a.jpg", exif=exif)
    caption, found = image_files.describe(image_files.load(tmp_path / "a.jpg"))
    assert caption == "Tea on the roof"
    assert found == {"width": 9, "height": 5, "taken": "2021-07-03T18:05:00", "year": 2021}
    Image.new("RGB", (9, 5)).save(tmp_path / "b.png")
    assert image_files.describe(image_files.load(tmp_path / "b.png")) == ("", {"width": 9, "height": 5})


def test_a_truncated_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.effect_noise((200, 200), 80).save(path)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(UnreadableFile, match=r"a\.jpg cannot be read as an image \(.*truncated.*\); save it anew"):
        image_files.load(path)
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(UnreadableFile):
        image_files.load(path)


def test_a_decompression_bomb(tmp_path: Path) -> None:
    """40,000 x 40,000 white pixels are a file of 200 KB and would be 1.6 GB; only its head is read."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 9) + b"IDAT")
    with pytest.raises(TooLarge, match=r"a\.png has more than 89,478,485 pixels; make it smaller first"):
        image_files.load(tmp_path / "a.png")


@pytest.mark.parametrize(
    "start", ["<svg ", '<?xml version="1.0"?>\n<!-- by hand -->\n<svg ', "<!DOCTYPE svg PUBLIC 'x'>\n<SVG "]
)
def test_a_drawing(tmp_path: Path, start: str) -> None:
    (tmp_path / "a.svg").write_text(f'{start}xmlns="http://www.w3.org/2000/svg"/>')
    with pytest.raises(UnreadableFile, match=r"a\.svg is an SVG drawing, which has no pixels; export it as PNG first"):
        image_files.load(tmp_path / "a.svg")


@pytest.mark.parametrize("data", [b"just text", b"", bytes(100), b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_what_only_looks_like_a_image(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UnreadableFile, match=r"a\.png is no image; give a PNG, JPEG or WebP file"):
        image_files.load(tmp_path / "a.png")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.png does not exist"):
        image_files.load(tmp_path / "none.png")


def test_damage_of_every_kind_is_one_line(tmp_path: Path) -> None:
    """Bytes changed at random: an image, or one line that says why not."""
    rng = np.random.default_rng(0)
    for suffix in ("png", "jpg", "gif", "webp", "tif", "bmp"):
        Image.effect_noise((24, 24), 80).convert("RGB").save(tmp_path / f"a.{suffix}")
        whole = np.frombuffer((tmp_path / f"a.{suffix}").read_bytes(), dtype=np.uint8)
        for _ in range(60):
            data = whole.copy()
            data[rng.integers(0, len(data), 6)] = rng.integers(0, 256, 6)
            try:
                image_files.rgb(image_files.decode(data.tobytes(), "it"))
            except (UnreadableFile, TooLarge) as why:
                assert str(why).startswith("it ") and "\n" not in str(why)


@pytest.mark.parametrize(("mode", "kind"), [("RGB", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("1", "PNG"), ("L", "TIFF"),
                                            ("CMYK", "JPEG"), ("I;16", "PNG")])  # fmt: skip
def test_large_images_are_reduced_while_they_are_decoded(mode: str, kind: str) -> None:
    grey = Image.linear_gradient("L").resize((300, 200))
    image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode, dither=0)
    data = io.BytesIO()
    image.save(data, kind)
    whole, small = image_files.decode(data.getvalue(), "x"), image_files.decode(data.getvalue(), "x", 10_000)
    assert small.width * small.height <= 10_000 < whole.width * whole.height
    assert image_files.describe(small)[1] == {"width": 300, "height": 200}
    expected = image_files.rgb(whole).resize(small.size, Image.Resampling.BOX)
    difference = np.abs(np.asarray(expected, dtype=int) - np.asarray(image_files.rgb(small), dtype=int))
    assert np.median(difference) <= 1 and difference.mean() < 5
    assert image_files.decode(data.getvalue(), "x", 60_000).size == (300, 200)


def test_reduced_images_stand_upright() -> None:
    exif, data = Image.Exif(), io.BytesIO()
    exif[image_files.ORIENTATION], exif[image_files.DESCRIPTION] = 6, "a door"
    Image.new("RGB", (300, 200)).save(data, "JPEG", exif=exif)
    found = image_files.decode(data.getvalue(), "x", 10_000)
    assert found.width < found.height and image_files.describe(found) == ("a door", {"width": 200, "height": 300})
