"""Structs of C and Python: a library whose structs are others is told of and not used."""

import ctypes
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmgen.models.cpu import build, kernels, structs

needed = pytest.mark.skipif(build.library() is None, reason=f"there are no kernels here: {build.reason()}")


@pytest.fixture
def fresh() -> Iterator[None]:
    kernels.kernels.cache_clear()
    yield
    kernels.kernels.cache_clear()


@needed
def test_ours_are_the_librarys() -> None:
    assert structs.mismatch(ctypes.CDLL(str(build.library()))) == ""


@needed
def test_others_are_refused(
    fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source, library = tmp_path / "old.c", tmp_path / "old.so"
    sizes = [ctypes.sizeof(kind) for kind in structs.MIRRORED]
    sizes[3] -= 8
    source.write_text(
        f"long struct_size(long which) {{ long sizes[] = {{{', '.join(map(str, sizes))}}}; return sizes[which]; }}"
    )
    compiler = build.compiler()
    assert compiler is not None
    subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    monkeypatch.setattr(build, "library", lambda: library)
    assert kernels.kernels() is None
    assert f"Layer has {sizes[3] + 8} bytes in Python and {sizes[3]} in C" in caplog.text
