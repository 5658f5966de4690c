"""A library that is compiled where it runs: once, for this user alone; and a reason where it cannot be."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from mmgen.models.cpu import build

needed = pytest.mark.skipif(build.library() is None, reason=f"it is not compiled here: {build.reason()}")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A cache of its own, in which nothing is compiled yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    build._made.cache_clear()
    yield tmp_path
    build._made.cache_clear()


@needed
def test_compiled_once(alone: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of short sources: `needed` has compiled ours."""
    sources = [tmp_path / "kernels.c", tmp_path / "forward.c"]
    for source in sources:
        source.write_text(f"int {source.stem}(void) {{ return TILE_N; }}")
    monkeypatch.setattr(build, "SOURCES", tuple(sources))
    made = build.library()
    assert made is not None and [made] == list((alone / "mmgen" / "kernels").iterdir())
    build._made.cache_clear()
    before = made.stat().st_mtime_ns
    assert build.library() is not None and made.stat().st_mtime_ns == before and not build.reason()


def incomplete(folder: Path) -> Path:
    """As it would be where torch brings no OpenMP."""
    source = folder / "kernels.c"
    source.write_text("int elsewhere(void); int has_integers(void) { return elsewhere(); }")
    return source


@needed
@pytest.mark.parametrize(
    ("hinder", "why"),
    [
        (lambda patch, folder: patch.setenv("CC", "no-such-compiler"), "no C compiler"),
        (lambda patch, folder: patch.setenv("CC", "false"), "false ends with 1"),
        (lambda patch, folder: patch.setattr(build, "FLAGS", ()), "ends with 1"),
        (lambda patch, folder: patch.setenv("MMGEN_NATIVE", "0"), "MMGEN_NATIVE is 0"),
        (
            lambda patch, folder: [
                patch.setattr(torch.cpu, "_is_avx512_supported", bool),
                patch.setattr(build, "_processor", str),
            ],
            "AVX-512, or AVX2",
        ),
        (lambda patch, folder: patch.setattr(build, "SOURCES", (incomplete(folder),)), "undefined symbol: elsewhere"),
        (lambda patch, folder: (folder / "mmgen").write_text("in the way"), "exists|Not a directory"),
    ],
)
def test_where_there_are_none(
    alone: Path, monkeypatch: pytest.MonkeyPatch, hinder: Callable[[pytest.MonkeyPatch, Path], object], why: str
) -> None:
    hinder(monkeypatch, alone)
    assert build.library() is None and re.search(why, build.reason())


@needed
def test_the_compilers_words_are_in_the_log(
    alone: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(build, "FLAGS", ())  # without the limits
    monkeypatch.setattr(build, "SOURCES", build.SOURCES[:1])
    with caplog.at_level("INFO"):
        assert build.library() is None
    assert "the kernels do not compile" in caplog.text and "limits are given by build.py" in caplog.text


@needed
def test_a_cache_that_others_may_write_to_is_not_trusted(alone: Path) -> None:
    folder = alone / "mmgen" / "kernels"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert build.library() is None and "written by others" in build.reason()
