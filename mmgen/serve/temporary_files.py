"""Images served by URL for an hour, only to the caller who requested them."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from mmgen.errors import NotFound

KEPT_S = 3600.0
NAME = re.compile(r"[\w-]{20,30}\.(png|jpeg|webp)", re.ASCII)


class TemporaryFiles:
    """A folder with one folder for each user. Old files go whenever a new one comes."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since 1970; machines that share the folder go by one."""
        self.folder, self._clock = folder, clock

    def add(self, user: str, data: bytes, suffix: str) -> str:
        """The name under which that user, and nobody else, gets them back."""
        self._forget()
        place = self._place(user)
        place.mkdir(parents=True, exist_ok=True)
        name = f"{secrets.token_urlsafe(18)}.{suffix}"
        (place / name).write_bytes(data)
        now = self._clock()
        os.utime(place / name, (now, now))
        return name

    def path(self, user: str, name: str) -> Path:
        """Raises NotFound for what is not there, is somebody else's, or is too old."""
        path = self._place(user) / name
        if not NAME.fullmatch(name) or not path.is_file() or self._old(path):
            raise NotFound(f'there is no image "{name[:40]}" (any more); images are kept for an hour, draw it again')
        return path

    def _place(self, user: str) -> Path:
        return self.folder / hashlib.sha256(user.encode()).hexdigest()[:32]

    def _forget(self) -> None:
        for path in self.folder.glob("*/*"):
            if self._old(path):
                path.unlink(missing_ok=True)

    def _old(self, path: Path) -> bool:
        try:
            return path.stat().st_mtime < self._clock() - KEPT_S
        except FileNotFoundError:  # another thread was quicker
            return True
