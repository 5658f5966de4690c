"""Images that the pages keep in the home directory: uploads that a store indexes, and what recipes name."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path


def folder(home: Path) -> Path:
    """HOME/images; in a home that has HOME/pictures, of the release before, that one: its stores name the files there."""
    old = home / "pictures"
    return old if old.is_dir() else home / "images"


def keep(path: Path, folder: Path) -> Path:
    """Copies the file into a folder named by its digest, under a safe file name."""
    plain = re.sub(r"[^\w.-]+", "_", path.name)[-80:].lstrip(".") or "image"
    place = folder / hashlib.sha256(path.read_bytes()).hexdigest()[:16] / plain
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    return place
