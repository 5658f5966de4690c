from pathlib import Path

import pytest

from mmgen.errors import NotFound, UnreadableFile
from mmgen.training.data import emoji_vectors

HALF = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2"><path d="M0 0h1v2H0z" fill="#08f"/></svg>'


def test_vectors_are_drawn_at_any_size(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    emoji_vectors.write(tmp_path, {"noto/1f4a7.png": HALF, "noto/2b1b.png": HALF[::-1]})
    (svg,) = emoji_vectors.read(tmp_path, ["noto/1f4a7.png"])
    assert svg == HALF
    for side in (64, 256):
        pixels = emoji_vectors.rasterise(svg, side)
        assert pixels.shape == (side, side, 4) and not pixels[:, side // 2 :].any()
        assert (pixels[:, : side // 2] == [0, 136, 255, 255]).all()


def test_the_archive_depends_on_the_vectors_alone(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        emoji_vectors.write(tmp_path / name, {"noto/1.png": HALF})
    assert (tmp_path / "a" / "vectors.zip").read_bytes() == (tmp_path / "b" / "vectors.zip").read_bytes()


def test_missing_and_damaged_vectors(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"keeps no vectors\.zip.*mmgen data emoji NEW"):
        next(emoji_vectors.read(tmp_path, ["noto/1.png"]))
    emoji_vectors.write(tmp_path, {"noto/1.png": HALF})
    with pytest.raises(UnreadableFile, match=r"noto/2\.svg is damaged"):
        list(emoji_vectors.read(tmp_path, ["noto/2.png"]))
    (tmp_path / "vectors.zip").write_bytes(b"no archive")
    with pytest.raises(UnreadableFile, match="build the set anew"):
        list(emoji_vectors.read(tmp_path, ["noto/1.png"]))
