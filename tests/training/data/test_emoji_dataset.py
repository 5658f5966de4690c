from pathlib import Path

import numpy as np
import pytest
from emoji_folder import THINGS, drawings  # noqa: F401  a fixture

from mmgen.errors import NotFound, UnreadableFile
from mmgen.training.data import emoji_dataset

# ruff: noqa: F811


def test_checking(drawings: Path) -> None:
    report = emoji_dataset.check(drawings)
    assert report.counts == {"noto": len(THINGS), "twemoji": len(THINGS)}
    assert report.licenses == {"noto": "Apache-2.0", "twemoji": "CC-BY-4.0"}
    assert not report.pinned and report.names == len(THINGS) + 1


def test_digests_see_a_word_and_a_pixel(tmp_path: Path) -> None:
    one = {"file": "noto/a.png", "vendor": "noto", "name": "a", "keywords": [], "group": "objects", "license": "Apache-2.0"}
    blank = np.zeros((64, 64, 4), dtype=np.uint8)
    dotted = blank.copy()
    dotted[3, 4] = (9, 9, 9, 255)
    sets = [(one, blank), (one | {"keywords": ["b"]}, blank), (one, dotted)]
    for n, (row, image) in enumerate(sets):
        emoji_dataset.write(tmp_path / str(n), [row], [image])
    plain, word, pixel = (emoji_dataset.check(tmp_path / str(n)) for n in range(3))
    assert plain.rows != word.rows and plain.rows == pixel.rows
    assert plain.pixels == word.pixels and plain.pixels != pixel.pixels


def test_a_wrong_licence_is_told(tmp_path: Path) -> None:
    row = {"file": "noto/a.png", "vendor": "noto", "name": "a", "keywords": [], "group": "objects", "license": "MIT"}
    emoji_dataset.write(tmp_path / "set", [row], [np.zeros((64, 64, 4), dtype=np.uint8)])
    with pytest.raises(UnreadableFile, match=r"noto/a\.png is said to be MIT, it is Apache-2\.0"):
        emoji_dataset.check(tmp_path / "set")


@pytest.mark.parametrize(("file", "content", "error", "message"), [
    ("captions.jsonl", "{", UnreadableFile, "captions.jsonl is damaged"),
    ("captions.jsonl", '{"file": "x.png"}', UnreadableFile, "captions.jsonl is damaged"),
    ("images.zip", "no zip", UnreadableFile, "images.zip is damaged"),
    ("images.zip", None, NotFound, "lacks captions.jsonl or images.zip"),
])  # fmt: skip
def test_damage_is_told(
    drawings: Path, tmp_path: Path, file: str, content: str | None, error: type[Exception], message: str
) -> None:
    for path in drawings.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_text(content)
    with pytest.raises(error, match=message):
        emoji_dataset.check(tmp_path)


def test_a_wrong_size_names_the_image(tmp_path: Path) -> None:
    row = {"file": "noto/a.png", "vendor": "noto", "name": "a", "keywords": [], "group": "objects", "license": "Apache-2.0"}
    emoji_dataset.write(tmp_path / "set", [row], [np.zeros((32, 64, 4), dtype=np.uint8)])
    with pytest.raises(UnreadableFile, match=r"noto/a\.png is damaged \(64x32 instead of 64x64\)"):
        emoji_dataset.check(tmp_path / "set")
