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


def vectors(
    home: Path,
    reference: str,
    words: Sequence[str],
    embed: Callable[[Sequence[str]], np.ndarray],
    tell: Callable[[str], None] = lambda line: None,
) -> np.ndarray:
    """(words, D) of unit length, by the model of that reference; computed once, kept in half precision."""
    import numpy as np

    name = hashlib.sha256("\n".join([reference, *words]).encode()).hexdigest()[:16]
    path = home / "words" / f"{name}.npy"
    if path.is_file():
        return np.asarray(np.load(path), dtype=np.float32)
    tell(f"encoding {len(words):,} words once ...")
    found = np.asarray(embed(words))
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{name}.new.npy")
    np.save(fresh, found.astype(np.float16))
    fresh.replace(path)
    return found
