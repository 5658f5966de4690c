"""Expands folders into files by include and exclude patterns, and by what is ignored there."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

from mmgen.errors import BadRequest, NotFound
from mmgen.ingest.ignore_rules import FILES, IgnoreRules

NEVER = {".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", "venv", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
BINARY = frozenset(
    """png jpg jpeg gif webp avif heic bmp ico tif tiff psd mp3 mp4 m4a wav ogg flac mov avi mkv webm zip gz bz2 xz zst
    tar 7z rar exe dll so dylib o a class pyc pyo whl jar bin dat pt pth ckpt safetensors onnx gguf npy npz parquet
    pkl sqlite db faiss ttf otf woff woff2 iso""".split()  # noqa: SIM905  a list of words
)
GLOB = re.compile(r"(\*\*/|\*\*|\*|\?|\[!?[^\]]+\])")


def files(
    paths: Sequence[Path],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    hidden: bool = False,
    ignored: bool = False,
    left_out: list[tuple[str, str]] | None = None,
    unread: Counter[str] | None = None,
) -> Iterator[Path]:
    """Files of the paths, each once; folders recursively, in sorted order.

    A folder that cannot be listed is given out itself, last of its root, so that whoever reads it says why. Links to files are
    followed, links to folders are not.

    Args:
        paths: a file is always taken; of a folder what fits the patterns.
        include: glob patterns such as `*.md`, `docs/**`, `**/notes/*.txt`; none: all that is not binary. One without a slash
            is about a name anywhere, one with a slash about the path within the folder; a folder stands for all in it.
        exclude: patterns of what to leave out, files and folders.
        hidden: also names that begin with a dot.
        ignored: also what `mmgen.ingest.ignore_rules` leaves out: ignored, generated, minified and lock files, secrets.
        left_out: gets (path, reason) of each file or folder that those rules leave out.
        unread: counts what else is not given out though no pattern says so: "hidden" names, suffixes of files that hold no
            text, folders of tools such as "node_modules/".

    Raises:
        NotFound: a path does not exist; before any file is given.
        BadRequest: a pattern that cannot be understood.
    """
    for pattern in (*include, *exclude):
        _compiled(pattern)
    for path in paths:
        if not _is(Path.exists, path):
            raise NotFound(f"{path} does not exist; give a file or a folder")
    skipped = Counter[str]() if unread is None else unread
    return _each(paths, include, exclude, hidden, None if ignored else [] if left_out is None else left_out, skipped)


def _is(kind: Callable[[Path], bool], path: Path) -> bool:
    try:
        return kind(path)
    except PermissionError:
        return kind is not Path.is_dir  # the loader reports the error
    except OSError:
        return False  # no name that a file can have


def _each(
    paths: Sequence[Path],
    include: Sequence[str],
    exclude: Sequence[str],
    hidden: bool,
    left_out: list[tuple[str, str]] | None,
    unread: Counter[str],
) -> Iterator[Path]:
    seen: set[Path] = set()
    for root in paths:
        for path in _under(root, include, exclude, hidden, left_out, unread) if _is(Path.is_dir, root) else [root]:
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                yield path


def _under(
    root: Path,
    include: Sequence[str],
    exclude: Sequence[str],
    hidden: bool,
    left_out: list[tuple[str, str]] | None,
    unread: Counter[str],
) -> Iterator[Path]:
    """`left_out`: None where the folder's ignore rules do not count."""
    rules = None if left_out is None else IgnoreRules(root)

    def taken(path: Path, folder: bool = False) -> bool:
        if rules is None or left_out is None or not (why := rules.reason(path, folder)):
            return True
        left_out.append((str(path), why))
        return False

    def shown(name: str) -> bool:
        if name in NEVER:
            unread[f"{name}/"] += not include and not name.startswith(".")  # nobody expects to find .git read
            return False
        hides = name.startswith(".") and not hidden
        unread["hidden"] += hides and not include and name not in FILES
        return not hides

    closed: list[OSError] = []
    for folder, folders, names in os.walk(root, onerror=closed.append):
        here = Path(folder)
        folders[:] = sorted(
            name
            for name in folders
            if not fits((here / name).relative_to(root), exclude) and shown(name) and taken(here / name, folder=True)
        )
        for name in sorted(names):
            path = here / name
            inside = path.relative_to(root)
            if fits(inside, exclude) or (include and not fits(inside, include)) or not shown(name):
                continue
            suffix = path.suffix.lower().removeprefix(".")
            if not include and suffix in BINARY:
                unread[suffix] += 1
            elif _is(Path.is_file, path) and taken(path):
                yield path
    yield from (Path(why.filename) for why in closed)


def fits(path: Path, patterns: Sequence[str]) -> bool:
    """Whether a relative path, or a folder it stands in, fits one of the patterns."""
    ways = [path, *path.parents[:-1]]
    return any(
        _compiled(pattern).fullmatch(way.as_posix() if "/" in pattern.rstrip("/") else way.name)
        for pattern in patterns
        for way in ways
    )


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """`*` and `?` stay within a name, `**` crosses folders; Python's own glob can do that from 3.13 on."""
    try:
        return re.compile("".join(map(_rule, GLOB.split(pattern.removeprefix("./").strip("/")))), re.DOTALL)
    except re.error as why:
        raise BadRequest(f"pattern {pattern!r} cannot be understood ({why}); write it like *.md or docs/**") from None


def _rule(part: str) -> str:
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if part in known or not GLOB.fullmatch(part):
        return known.get(part) or re.escape(part)
    inside = re.escape(part[1:-1].removeprefix("!")).replace(r"\-", "-")
    return f"[^{inside}]" if part[1] == "!" else f"[{inside}]"
