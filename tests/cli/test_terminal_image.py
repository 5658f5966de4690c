"""Two pixels a character: the upper one in the foreground, the lower one behind it."""

import pytest
from PIL import Image

from mmgen.cli.terminal_image import half_blocks, show_image


def test_upper_and_lower_pixels() -> None:
    image = Image.new("RGB", (1, 2), "red")
    image.putpixel((0, 1), (0, 0, 255))
    assert half_blocks(image, 10) == "\x1b[38;2;255;0;0;48;2;0;0;255m▀\x1b[0m"


def test_no_wider_than_asked(capsys: pytest.CaptureFixture[str]) -> None:
    lines = half_blocks(Image.new("RGB", (100, 50)), 10).splitlines()
    assert len(lines) == 2 or len(lines) == 3
    assert all(line.count("▀") == 10 for line in lines)
    show_image(Image.new("L", (4, 4)))
    assert capsys.readouterr().out.count("▀") == 8
