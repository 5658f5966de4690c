"""A list of words with their vectors, which are kept in the home directory: encoding thousands takes a while."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.errors import NotFound

if TYPE_CHECKING:
    import numpy as np


def read(path: Path) -> list[str]:
    """What stands on the lines of a file, each once. Raises NotFound where it cannot be read."""
    try:
        lines = path.expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as why:
        raise NotFound(f"{path} cannot be read ({why}); it should hold a word a line, in UTF-8") from None
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


def kept(home: Path, reference: str, words: Sequence[str]) -> Path:
    """Where `vectors` keeps what it computed."""
    name = hashlib.sha256("\n".join([reference, *words]).encode()).hexdigest()[:16]
    return home / "words" / f"{name}.npy"


def vectors(
    home: Path,
    reference: str,
    words: Sequence[str],
    embed: Callable[[Sequence[str]], np.ndarray],
) -> np.ndarray:
    """(words, D) of unit length, by the model of that reference; computed once, kept in half precision."""
    import numpy as np

    path = kept(home, reference, words)
    if path.is_file():
        return np.asarray(np.load(path), dtype=np.float32)
    found = np.asarray(embed(words)).astype(np.float16)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new.npy")
    np.save(fresh, found)
    fresh.replace(path)
    return found.astype(np.float32)  # as it will be read from now on
