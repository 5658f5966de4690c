"""Which GGUF file of a folder or repository is meant."""

from pathlib import Path

import pytest

from mmgen import gguf_files
from mmgen.errors import BadRequest, BadWeights, NotFound

NAMES = [
    "Tiny-Q4_K_M.gguf", "Tiny-Q8_0.gguf", "Tiny.IQ4_XS.gguf", "mmproj-Tiny-f16.gguf",
    "BF16/Tiny-BF16-00001-of-00002.gguf", "BF16/Tiny-BF16-00002-of-00002.gguf",
]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("Q4_K_M", NAMES[0]),
        ("q8_0", NAMES[1]),
        ("IQ4_XS", NAMES[2]),
        ("Tiny-Q8_0.gguf", NAMES[1]),
        ("Tiny-Q8_0", NAMES[1]),
        ("BF16", NAMES[4]),
        ("Tiny-BF16-00001-of-00002.gguf", NAMES[4]),
    ],
)
def test_what_is_meant(wanted: str, found: str) -> None:
    assert gguf_files.pick(NAMES, wanted, "org/tiny") == found


def test_nothing_is_said() -> None:
    assert gguf_files.pick(NAMES, "", "org/tiny", "Q4_K_M") == NAMES[0]
    assert gguf_files.pick(NAMES[1:2], "", "org/tiny", "Q4_K_M") == NAMES[1]
    assert gguf_files.pick(NAMES[3:], "", "org/tiny") == NAMES[4]
    with pytest.raises(BadRequest, match=r"org/tiny holds 4 GGUF models; say which, as in org/tiny:Tiny-BF16-00001-of"):
        gguf_files.pick(NAMES, "", "org/tiny")


def test_what_is_not_there() -> None:
    with pytest.raises(NotFound, match=r"org/tiny has no GGUF file Q5_0; there are Tiny-BF16-00001-of-00002\.gguf, Tiny-Q4"):
        gguf_files.pick(NAMES, "Q5_0", "org/tiny")
    with pytest.raises(NotFound, match="has no GGUF file K_M"):
        gguf_files.pick(NAMES, "K_M", "org/tiny")


def test_parts(tmp_path: Path) -> None:
    first, second = (tmp_path / f"a-0000{number}-of-00002.gguf" for number in (1, 2))
    first.touch()
    with pytest.raises(BadWeights, match=r"lacks a-00002-of-00002\.gguf, of 2 parts"):
        gguf_files.parts(first)
    second.touch()
    assert gguf_files.parts(first) == gguf_files.parts(second) == [first, second]
    assert gguf_files.parts(tmp_path / "b.gguf") == [tmp_path / "b.gguf"]


def test_in_a_folder(tmp_path: Path) -> None:
    assert gguf_files.in_folder(tmp_path) is None
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a-Q8_0.gguf").touch()
    assert gguf_files.in_folder(tmp_path) == tmp_path / "deep" / "a-Q8_0.gguf"
