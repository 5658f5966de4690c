"""Steps as frames in every format, the finished image last and longest."""

from pathlib import Path

import pytest
from PIL import Image

from mmgen.pipelines.image.animation import FORMATS, LAST_MS, STEP_MS, save


@pytest.mark.parametrize("suffix", FORMATS)
def test_frames(suffix: str, tmp_path: Path) -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    sizes = [(4, 4), (8, 8), (8, 8)]
    path = tmp_path / f"a{suffix}"
    save([Image.new("RGB", size, colour) for size, colour in zip(sizes, colours, strict=True)], path)
    shown = []
    with Image.open(path) as moving:
        assert (moving.format, moving.n_frames, moving.info["loop"]) == (FORMATS[suffix], 3, 0)  # type: ignore[attr-defined]
        for number, colour in enumerate(colours):
            moving.seek(number)
            moving.load()
            shown.append(moving.info["duration"])
            assert moving.size == (8, 8)
            found = moving.convert("RGB").getpixel((4, 4))
            assert max(abs(a - b) for a, b in zip(found, colour, strict=True)) < 8  # type: ignore[arg-type]
    assert shown == [STEP_MS, STEP_MS, LAST_MS]
