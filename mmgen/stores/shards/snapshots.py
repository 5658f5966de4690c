"""Whole sets of shards on disk, one folder for the commit that each stands at: made under another name, then renamed.

A process that is killed while it builds leaves a folder that nobody opens; the next builder removes it. Readers that have an
older set open keep its mapped files until they close them.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

MANIFEST, LOCK, BUILDING = "shards.json", "lock", "building-"
ABANDONED_AFTER = 3600.0
"""Seconds without a lock on it."""
Stamp = tuple[int, int]
"""Of a commit: generation and random token."""


@dataclass(frozen=True)
class Snapshot:
    """What a manifest says."""

    stamp: Stamp
    last_id: int  # the largest in it
    dimension: int
    shards: int


def write(root: Path, fill: Callable[[Path], Snapshot]) -> Path:
    """Fills a new folder and gives it its name -> that folder. Raises OSError for one that cannot be written."""
    with _building(root) as folder:
        told = fill(folder)
        with (folder / MANIFEST).open("w") as file:
            json.dump(asdict(told), file)
            file.flush()
            os.fsync(file.fileno())
        named = root / f"{told.stamp[0]}-{secrets.token_hex(4)}"  # of its own: what is damaged may stand at the same commit
        folder.rename(named)
        return named


def newest(root: Path, known: Callable[[Stamp], bool]) -> Iterator[tuple[Path, Snapshot]]:
    """Whole ones that stand at a commit of this store, the newest first."""
    return ((folder, told) for _, folder, told in _whole(root) if known(told.stamp))


def _whole(root: Path) -> list[tuple[tuple[int, int, str], Path, Snapshot]]:
    """By generation, and among those of a commit by time: the order that every process sees, the newest first."""
    found = []
    for manifest in root.glob(f"*/{MANIFEST}"):
        if manifest.parent.name.startswith(BUILDING):
            continue
        try:
            told = json.loads(manifest.read_text())
            snapshot = Snapshot(**{**told, "stamp": tuple(told["stamp"])})
            order = (snapshot.stamp[0], manifest.stat().st_mtime_ns, manifest.parent.name)
            found.append((order, manifest.parent, snapshot))
        except (OSError, ValueError, KeyError, TypeError):  # removed meanwhile, or of another version
            continue
    return sorted(found, key=lambda one: one[0], reverse=True)


def prune(root: Path, kept: Path, known: Callable[[Stamp], bool]) -> None:
    """Removes those that are older than `kept`, or of another store's history."""
    folders = [folder for folder, _ in newest(root, known)]
    newer = folders[: folders.index(kept) + 1] if kept in folders else folders
    remove([path for path in root.iterdir() if path not in newer and not path.name.startswith(BUILDING)])


def discard(root: Path) -> None:
    """Removes every one, and the folder."""
    if root.is_dir():
        remove([path for path in root.iterdir() if not path.name.startswith(BUILDING)])
        with suppress(OSError):  # another process builds there
            root.rmdir()


def remove(folders: Sequence[Path]) -> None:
    """The manifest first, so that nobody opens what is half there; what cannot be removed stays."""
    for folder in folders:
        try:
            (folder / MANIFEST).unlink(missing_ok=True)
        except OSError:
            continue
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _building(root: Path) -> Iterator[Path]:
    """An empty folder that nobody else removes; it is removed if it was not renamed."""
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(f"{BUILDING}*"):
        if _abandoned(left):
            shutil.rmtree(left, ignore_errors=True)
    folder = root / f"{BUILDING}{os.getpid()}-{secrets.token_hex(4)}"
    folder.mkdir()
    with (folder / LOCK).open("w") as lock:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _abandoned(folder: Path) -> bool:
    """Whether the process that built it is gone: its lock is free, or it never came to one."""
    try:
        with (folder / LOCK).open() as lock:
            if sys.platform != "win32":
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return _age(folder) > 1  # its builder may be about to lock it
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return _age(folder) > ABANDONED_AFTER


def _age(folder: Path) -> float:
    """Seconds since it was made or something in it was."""
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:
        return 0.0
