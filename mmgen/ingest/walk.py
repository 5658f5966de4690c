"""Folders to files. Knows patterns and what is never text; reads nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from mmgen.errors import NotFound

NEVER = {".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", "venv", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
BINARY = set(
    "png jpg jpeg gif webp avif heic bmp ico tif tiff mp3 mp4 wav ogg flac mov avi mkv zip gz bz2 xz zst tar 7z rar exe dll so dylib "
    "o a class pyc pyo whl jar bin dat pt pth ckpt safetensors onnx gguf npy npz parquet sqlite db faiss ttf otf woff woff2 iso lock".split()
)


def files(
    paths: Sequence[Path], *, include: Sequence[str] = (), exclude: Sequence[str] = (), hidden: bool = False
) -> Iterator[Path]:
    """Files of the paths, each once; folders recursively, in sorted order.

    Args:
        paths: a file is always taken; of a folder what fits the patterns.
        include: glob patterns over the path within the folder, such as `*.md` or `docs/**`; none: all that is not binary.
        exclude: patterns of what to leave out, files and folders.
        hidden: also names that begin with a dot.

    Raises:
        NotFound: a path does not exist; before any file is given.
    """
    for path in paths:
        if not path.exists():
            raise NotFound(f"{path} does not exist; give a file or a folder")
    return _each(paths, include, exclude, hidden)


def _each(paths: Sequence[Path], include: Sequence[str], exclude: Sequence[str], hidden: bool) -> Iterator[Path]:
    seen: set[Path] = set()
    for root in paths:
        for path in _under(root, include, exclude, hidden) if root.is_dir() else [root]:
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                yield path


def _under(root: Path, include: Sequence[str], exclude: Sequence[str], hidden: bool) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):  # does not follow links to folders, so that a loop cannot trap it
        here = Path(folder)
        folders[:] = sorted(
            name
            for name in folders
            if name not in NEVER
            and (hidden or not name.startswith("."))
            and not fits((here / name).relative_to(root), exclude)
        )
        for name in sorted(names):
            path = here / name
            inside = path.relative_to(root)
            wanted = fits(inside, include) if include else path.suffix.lower().removeprefix(".") not in BINARY
            if wanted and (hidden or not name.startswith(".")) and not fits(inside, exclude) and path.is_file():
                yield path


def fits(path: Path, patterns: Sequence[str]) -> bool:
    """Whether a relative path, its name, or a folder it stands in fits one of the patterns."""
    names = [path.as_posix(), path.name, *(parent.as_posix() for parent in path.parents if parent.name)]
    return any(fnmatch(name, pattern.rstrip("/")) for pattern in patterns for name in names)
