"""Reads a gr.ImageEditor: its background is the input image, its painted layers the inpainting mask."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops

from mmgen.errors import BadRequest
from mmgen.ingest import image_files
from mmgen.pipelines.image import image_io

Edited = Mapping[str, Any] | None
"""What a gr.ImageEditor of type "pil" holds: a background and layers."""


def begun(edited: Edited) -> Image.Image | None:
    """The background in RGB; None without one."""
    under: Image.Image | None = (edited or {}).get("background")
    if under is None or (under.mode == "RGBA" and under.getchannel("A").getextrema()[1] == 0):  # an empty canvas
        return None
    return image_files.rgb(under)


def painted(edited: Edited) -> Image.Image | None:
    """The mask: white where painted, black elsewhere, in the image's size; None if nothing was painted."""
    under = begun(edited)
    layers = [layer for layer in (edited or {}).get("layers", ()) if layer is not None]
    if under is None or not layers:
        return None
    mask = Image.new("L", under.size)
    for layer in layers:
        if layer.size != under.size:
            sizes = ["{} x {}".format(*one.size) for one in (layer, under)]
            raise BadRequest(f"the paint is {sizes[0]} pixels, the image {sizes[1]}; clear the image and drop it again")
        mask = ImageChops.lighter(mask, layer.convert("RGBA").getchannel("A").point(lambda alpha: 255 if alpha else 0))
    return mask if mask.getextrema()[1] else None


def kept(image: Image.Image | None, folder: Path) -> Path | None:
    """Saves the image under a hash of its pixels, so that a recipe that names it can be reproduced later."""
    if image is None:
        return None
    path = folder / f"{image_io.digest(image)[:16]}.png"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        image.save(path)
    return path
