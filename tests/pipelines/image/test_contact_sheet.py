"""A contact sheet shows every image in its place, whatever its size."""

from pathlib import Path

import pytest
from PIL import Image, ImageFont

from mmgen.errors import BadRequest
from mmgen.pipelines.image.contact_sheet import CELL, COLUMNS, LINE, PAD, Tile, cut, fitted, save, sheet


def test_every_image_in_its_place() -> None:
    colours = ["#ff0000", "#00ff00", "#0000ff", "#ffff00", "#ff00ff", "#00ffff"]
    page = sheet([Tile(Image.new("RGB", (400, 400), colour), str(n), "x.png") for n, colour in enumerate(colours)])
    across, down = CELL + PAD, CELL + 2 * LINE + PAD + 6
    assert page.size == (PAD + COLUMNS * across, PAD + 2 * down)
    for n, colour in enumerate(colours):
        place = PAD + n % COLUMNS * across + CELL // 2, PAD + n // COLUMNS * down + CELL // 2
        assert page.getpixel(place) == Image.new("RGB", (1, 1), colour).getpixel((0, 0))


def test_one_and_none() -> None:
    assert sheet([Tile(Image.new("RGB", (1, 900)), "tall")], "only one").width == 2 * PAD + CELL
    assert sheet([]).width > 0


@pytest.mark.parametrize(
    ("size", "shown"), [((64, 64), (192, 192)), ((1, 1), (192, 192)), ((150, 75), (192, 96)), ((2, 3000), (1, 192))]
)
def test_sizes(size: tuple[int, int], shown: tuple[int, int]) -> None:
    assert fitted(Image.new("RGB", size)).size == shown


def test_long_names_are_cut_in_the_middle() -> None:
    font = ImageFont.load_default(14)
    short = cut("holiday-by-the-sea-in-the-summer-of-2021.jpeg", font, CELL)
    assert short.startswith("holiday") and short.endswith(".jpeg") and "..." in short and font.getlength(short) <= CELL
    assert cut("a.png", font, CELL) == "a.png"


def test_where_it_goes(tmp_path: Path) -> None:
    save(sheet([]), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as found:
        assert found.format == "PNG"
    with pytest.raises(BadRequest, match="cannot be written"):
        save(sheet([]), tmp_path / "none" / "a.png")
