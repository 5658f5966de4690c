"""Patterns of file names, and places that cannot be written."""

from pathlib import Path

import pytest

from mmgen.errors import BadRequest
from mmgen.pipelines.image.output_paths import check_png, check_writable, paths


@pytest.mark.parametrize(
    ("pattern", "seeds", "names"),
    [
        ("out.png", [7], ["out.png"]),
        ("out.png", [7, 8], ["out-7.png", "out-8.png"]),
        ("a/out-{n}.PNG", [7, 8], ["a/out-1.PNG", "a/out-2.PNG"]),
        ("{n}-{seed}.png", [7], ["1-7.png"]),
        ("new/", [7, 8], ["new/7.png", "new/8.png"]),
        (".", [7], ["7.png"]),
        ("{odd}.png", [7], ["{odd}.png"]),
    ],
)
def test_a_path_for_every_image(pattern: str, seeds: list[int], names: list[str]) -> None:
    assert paths(pattern, seeds) == [Path(name) for name in names]


@pytest.mark.parametrize(("pattern", "message"), [("out.jpg", "is not named .png"), ("out", "not named"), ("", "no name")])
def test_names_that_are_no_paths(pattern: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        paths(pattern, [1])


def test_what_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "b.png").mkdir()
    with pytest.raises(BadRequest, match=r"b\.png is a folder"):
        check_writable(tmp_path / "b.png")
    with pytest.raises(BadRequest, match="is no folder; make it first"):
        check_writable(tmp_path / "x" / "y" / "a.png")
    check_writable(tmp_path / "made" / "a.png")
    assert (tmp_path / "made").is_dir()
    with pytest.raises(BadRequest, match=r"give one that ends with \.png"):
        check_png(tmp_path / "a.jpg")
