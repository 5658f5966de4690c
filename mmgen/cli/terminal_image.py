"""Shows an image in the terminal: two pixels per character, in 24-bit colour."""

from __future__ import annotations

import shutil

import typer
from PIL import Image

WIDEST = 64  # characters


def half_blocks(image: Image.Image, columns: int) -> str:
    """Upper half blocks: the foreground is the upper pixel, the background the lower one. At most `columns` wide."""
    width = min(columns, image.width)
    height = max(2, 2 * round(image.height * width / image.width / 2))
    small = image.convert("RGB").resize((width, height), Image.Resampling.BOX)
    pixels = small.tobytes()

    def colour(x: int, y: int) -> str:
        return ";".join(map(str, pixels[3 * (y * width + x) :][:3]))

    lines = (
        "".join(f"\x1b[38;2;{colour(x, y)};48;2;{colour(x, y + 1)}m\u2580" for x in range(width)) + "\x1b[0m"
        for y in range(0, height, 2)
    )
    return "\n".join(lines)


def show_image(image: Image.Image, err: bool = False) -> None:
    columns = min(WIDEST, shutil.get_terminal_size().columns - 1)
    typer.echo(half_blocks(image, columns), err=err, color=True)  # asked for: also into a file
