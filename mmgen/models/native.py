"""Kernels for a few rows, compiled from native.c where they run. Knows a compiler and addresses; not layers or models.

torch multiplies a row of 768 numbers with a matrix at half of the speed at which memory gives it. Without a compiler, without
OpenMP in torch, or without AVX-512, `kernels()` is None, and layers go on as torch computes them; MMGEN_NATIVE=0 asks for that.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch

log = logging.getLogger(__name__)
SOURCE = Path(__file__).with_suffix(".c")
FLAGS = ("-O3", "-march=native", "-fopenmp", "-fPIC", "-shared", "-nodefaultlibs")
"""Without libraries: OpenMP is the one that torch brought, so that both share their threads."""
WIDE = 64
"""Outputs of a panel, in which matrices lie."""
FEW = 6
"""Rows that are multiplied at once."""
SECONDS = 60.0
"""That compiling may take; it takes one."""


class Kernels:
    """The functions of native.c. Numbers are addresses and counts, the first how many rows it is about."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.integers = bool(ctypes.CDLL(str(path)).has_integers())
        self.fp32 = self._function("multiply_fp32", 9)
        if self.integers:
            self.int8, self.int4 = self._function("multiply_int8", 12), self._function("multiply_int4", 9)

    def _function(self, name: str, arguments: int) -> Callable[..., None]:
        """A few rows take microseconds: the interpreter's lock is kept, as getting it back may take milliseconds."""
        kept, free = (getattr(made(str(self._path)), name) for made in (ctypes.PyDLL, ctypes.CDLL))
        for one in (kept, free):
            one.argtypes, one.restype = [ctypes.c_ssize_t] * arguments, None

        def call(rows: int, *numbers: int) -> None:
            (kept if rows <= FEW else free)(*numbers)

        return call


@lru_cache(maxsize=1)
def kernels() -> Kernels | None:
    """Compiled once a machine, kept in the user's cache; None: there are none."""
    if os.environ.get("MMGEN_NATIVE") == "0" or not (sys.platform == "linux" and torch.cpu._is_avx512_supported()):
        return None
    try:
        return Kernels(_compiled())
    except (OSError, subprocess.SubprocessError) as why:
        log.debug("no kernels of our own: %s", why)
        return None


def compiler() -> str | None:
    """A C compiler's path: $CC, or the system's."""
    return shutil.which(os.environ.get("CC") or "cc")


def _compiled() -> Path:
    """The library's path. Raises OSError and SubprocessError where it cannot be made."""
    found = compiler()
    if found is None:
        raise FileNotFoundError("there is no C compiler")
    folder = _cache()
    path = folder / f"native-{_digest(found)}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as made:  # whoever else compiles it now, one of both is kept
            out = Path(made) / path.name
            command = [found, *FLAGS, "-o", str(out), str(SOURCE)]
            subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
            out.replace(path)
    return path


def _cache() -> Path:
    """A folder of the user's own. Raises PermissionError for one that others may write to."""
    from platformdirs import user_cache_path

    folder = user_cache_path("mmgen", appauthor=False) / "kernels"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = folder.stat()
    if state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise PermissionError(f"{folder} can be written by others")
    return folder


def _digest(found: str) -> str:
    """Of all that decides what is made: a home directory may be shared by several machines."""
    info = Path("/proc/cpuinfo")
    flags = next((line for line in info.read_text().splitlines() if line.startswith("flags")), "") if info.exists() else ""
    about = (SOURCE.read_text(), " ".join(FLAGS), found, platform.machine(), flags)
    return hashlib.sha256("\0".join(about).encode()).hexdigest()[:16]
