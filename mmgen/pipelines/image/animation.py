"""The progress of the denoising as an animation: GIF, WebP or APNG, the finished image held at its end."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from mmgen.pipelines.image import output_paths

FORMATS = {".gif": "GIF", ".webp": "WEBP", ".apng": "PNG"}
STEP_MS, LAST_MS = 120, 1500
"""How long a step and the finished image are shown."""


def encoded(frames: Sequence[Image.Image], kind: str) -> bytes:
    """The file's bytes. All frames get the last one's size; `kind`: a suffix of FORMATS."""
    last = frames[-1].convert("RGB")
    shown = [one.convert("RGB").resize(last.size, Image.Resampling.NEAREST) for one in frames[:-1]] + [last]
    if FORMATS[kind] == "GIF":
        shown = [one.quantize(256, dither=Image.Dither.FLOYDSTEINBERG) for one in shown]
    durations = [STEP_MS] * (len(shown) - 1) + [LAST_MS]
    more = {"quality": 90, "method": 4} if FORMATS[kind] == "WEBP" else {}
    file = io.BytesIO()
    shown[0].save(file, FORMATS[kind], save_all=True, append_images=shown[1:], duration=durations, loop=0, **more)
    return file.getvalue()


def save(frames: Sequence[Image.Image], path: Path) -> None:
    """Writes it whole or not at all. Raises BadRequest where it cannot be written."""
    output_paths.write_whole(path, encoded(frames, path.suffix.lower()))
