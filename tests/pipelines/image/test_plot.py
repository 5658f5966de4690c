"""Cells of a plot in their places, missing ones blank, labels beside them; a contact sheet of seeds."""

from PIL import Image

from mmgen.pipelines.image.contact_sheet import CELL, PAD, PLATE
from mmgen.pipelines.image.plot import LARGEST, cell, drawn, plot

RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_cells_and_labels() -> None:
    page = plot({0: Image.new("RGB", (8, 8), RED), 3: Image.new("RGB", (8, 8), BLUE)}, ["a", "b"], ["c", "d"])
    right, low = page.width - PAD - CELL // 2, page.height - PAD - CELL // 2
    assert page.getpixel((right, low)) == BLUE and page.getpixel((right - CELL - PAD, low - CELL - PAD)) == RED
    assert page.getpixel((right, low - CELL - PAD)) == Image.new("RGB", (1, 1), PLATE).getpixel((0, 0))
    without = plot({0: Image.new("RGB", (8, 8), RED)}, [""], [""])
    assert without.size == (CELL + 2 * PAD, CELL + 2 * PAD)


def test_sizes() -> None:
    assert cell({}) == CELL and cell({0: Image.new("RGB", (300, 200))}) == 300
    assert cell({0: Image.new("RGB", (2000, 200))}) == LARGEST


def test_what_is_drawn() -> None:
    images = {n: Image.new("RGB", (8, 8), RED) for n in range(4)}
    by_seeds, by_prompts = drawn(images, [1, 2, 3, 4], ["a cat"]), drawn(images, [1, 2, 3, 4], ["a cat", "a dog"])
    assert by_seeds.width == by_prompts.width == PAD + 2 * (CELL + PAD) and by_seeds.height > by_prompts.height
    across = drawn(images, [1] * 4, ["a cat"], x="steps=1,2,3,4")
    assert across.width > across.height and drawn(images, [1] * 4, ["a cat"], y="steps=1,2,3,4").height > across.height
