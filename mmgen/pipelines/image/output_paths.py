"""Where images are written: a pattern to a path for each, and whether it can be written, told before anything is drawn."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from mmgen.errors import BadRequest


def paths(pattern: str | Path, seeds: Sequence[int], suffixes: Collection[str] = (".png",)) -> list[Path]:
    """A path for every image.

    `pattern`: a file name in which {seed} and {n}, counted from 1, are filled in; or a folder, which is one if it exists or
    ends with a slash. Several images of one plain name get their seeds into it, of one seed their numbers. Raises BadRequest
    for a name without one of `suffixes`.
    """
    text = str(pattern)
    if not text.strip():
        raise BadRequest("the output has no name; give a file such as out.png, or a folder")
    if text.endswith(("/", os.sep)) or Path(text).expanduser().is_dir():
        text = str(Path(text) / f"{{seed}}{next(iter(suffixes))}")
    path = Path(text).expanduser()
    if path.suffix.lower() not in suffixes:
        if ".png" in suffixes:
            raise BadRequest(f"{path} is not named .png; images are written as PNG, which keeps the recipe")
        raise BadRequest(f"{path} is no name of an animation; give one that ends with {', '.join(suffixes)}")
    if len(seeds) > 1 and "{seed}" not in path.name and "{n}" not in path.name:
        path = path.with_name(f"{path.stem}-{{seed}}{path.suffix}")
    if len(set(seeds)) < len(seeds) and "{n}" not in path.name:
        path = path.with_name(f"{path.stem}-{{n}}{path.suffix}")
    return [path.with_name(_filled(path.name, n, seed)) for n, seed in enumerate(seeds, 1)]


def check_writable(path: Path) -> None:
    """Makes the folder a pattern names if only its last part is missing. BadRequest where nothing could be written."""
    folder = path.parent
    if not folder.exists() and folder.parent.is_dir():
        try:
            folder.mkdir()
        except OSError as why:
            raise BadRequest(f"{folder} cannot be made ({why.strerror}); choose another place") from None
    if not folder.is_dir():
        raise BadRequest(f"{folder} is no folder; make it first")
    if path.is_dir():
        raise BadRequest(f"{path} is a folder; name the file in it, or end the folder's name with a slash")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise BadRequest(f"{path} cannot be written; choose another place")


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all. Raises BadRequest where it cannot be written."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
        part.replace(path)
    except OSError as why:
        raise BadRequest(f"{path} cannot be written ({why.strerror or why}); choose another place") from None
    finally:
        part.unlink(missing_ok=True)


def check_png(path: Path) -> None:
    """`check_writable` of a file that must be a PNG."""
    if path.suffix.lower() != ".png":
        raise BadRequest(f"{path} is no name of a PNG; give one that ends with .png")
    check_writable(path)


def _filled(name: str, n: int, seed: int) -> str:
    return name.replace("{seed}", str(seed)).replace("{n}", str(n))
