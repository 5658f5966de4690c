"""Compiles the sources in C on the machine that runs them, into the user's cache. Knows no tensors."""

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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path

import torch

log = logging.getLogger(__name__)
FOLDER = Path(__file__).parent
NAMES = ("kernels.c", "blocks.c", "forward.c", "encoder.c", "attention.c", "activations.c")
INCLUDED = ("wide.h", "avx2.h", "blocks.h", "forward.h", "rows.h", "draw.h", "crew.h", "encoder.h", "attention.h", "vectors.h")
SOURCES, HEADERS = tuple(FOLDER / name for name in NAMES), tuple(FOLDER / name for name in INCLUDED)
LIMITS = {"TILE_N": 64, "TILE_M": 6, "MAX_HEAD_DIM": 256, "MOST_HEADS": 4, "UNIT": 32}
"""What C and Python must agree on, defined here alone: columns of a panel, rows multiplied at once, numbers of a
head, heads that attend at once, outputs of blocks that are computed together: two panels."""
FLAGS = (
    "-O3",
    "-fno-math-errno",
    "-fopenmp",
    "-fPIC",
    *("--param", "max-completely-peeled-insns=3000", "--param", "max-completely-peel-times=64"),  # sums stay in registers
    *(f"-D{name}={value}" for name, value in LIMITS.items()),
)
"""To compile; linked without them and without libraries, as OpenMP is to be the one that torch brought, with its threads."""
AVX2 = {"avx2", "fma", "f16c"}
"""Flags of a processor without AVX-512 that has what avx2.h is made of."""
SECONDS = 300.0
"""That compiling may take; it takes three on a machine with nothing else to do."""


def library() -> Path | None:
    """The library that `SOURCES` became, once a machine, in the user's cache; None: it could not, and `reason` says why."""
    return None if isinstance(found := _made(), str) else found


def reason() -> str:
    """Why there is none; empty: there is one."""
    return found if isinstance(found := _made(), str) else ""


@lru_cache(maxsize=1)
def _made() -> Path | str:
    if os.environ.get("MMGEN_NATIVE") == "0":
        return "MMGEN_NATIVE is 0"
    if not (sys.platform == "linux" and (torch.cpu._is_avx512_supported() or set(_processor().split()) >= AVX2)):
        return "they need Linux and a processor with AVX-512, or AVX2, FMA and F16C"
    try:
        path = _compiled()
        ctypes.CDLL(str(path))
    except subprocess.CalledProcessError as why:
        log.info("the kernels do not compile, torch computes instead: %s", why.stderr.decode(errors="replace").strip())
        return f"{why.cmd[0]} ends with {why.returncode}"
    except (OSError, subprocess.SubprocessError) as why:
        return str(why)
    return path


def compiler() -> str | None:
    """A C compiler's path: $CC, or the system's; GCC before others, whose OpenMP is another than torch's."""
    named = os.environ.get("CC")
    return shutil.which(named) if named else shutil.which("gcc") or shutil.which("cc")


def _compiled() -> Path:
    """The library's path. Raises OSError and SubprocessError where it cannot be made."""
    found = compiler()
    if found is None:
        raise FileNotFoundError("there is no C compiler")
    folder = _cache()
    path = folder / f"native-{_digest(found)}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as made:  # whoever else compiles it now, one of both is kept
            halves = [str(Path(made) / source.with_suffix(".o").name) for source in SOURCES]
            flags = [_architecture(), *FLAGS]
            commands = [["-c", *flags, str(source), "-o", half] for source, half in zip(SOURCES, halves, strict=True)]
            with ThreadPoolExecutor() as pool:
                list(pool.map(partial(_run, found), commands))
            whole = Path(made) / path.name
            _run(found, ["-shared", "-nodefaultlibs", *halves, "-o", str(whole)])
            whole.replace(path)
    return path


def _run(found: str, command: Sequence[str]) -> None:
    subprocess.run([found, *command], check=True, capture_output=True, timeout=SECONDS)


def _cache() -> Path:
    """A folder of the user's own. Raises PermissionError for one that others may write to."""
    from platformdirs import user_cache_path

    folder = user_cache_path("mmgen", appauthor=False) / "kernels"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = folder.stat()
    if state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise PermissionError(f"{folder} can be written by others")
    return folder


def _architecture() -> str:
    """What is compiled for: this processor, or with MMGEN_NATIVE=avx2 any that has AVX2, to see what that gives."""
    return "-march=x86-64-v3" if os.environ.get("MMGEN_NATIVE") == "avx2" else "-march=native"


def _processor() -> str:
    """Its flags; empty: they are not told."""
    info = Path("/proc/cpuinfo")
    return next((line for line in info.read_text().splitlines() if line.startswith("flags")), "") if info.exists() else ""


def _digest(found: str) -> str:
    """Of all that decides what is made: a home directory may be shared by several machines."""
    sources = (path.read_text() for path in (*SOURCES, *HEADERS))
    about = (*sources, _architecture(), *FLAGS, found, platform.machine(), _processor())
    return hashlib.sha256("\0".join(about).encode()).hexdigest()[:16]
