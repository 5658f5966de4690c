"""One account of a device's memory. Knows owners, bytes and kinds; not what the bytes hold."""

from __future__ import annotations

import threading
from collections.abc import Hashable

from mmgen.errors import BadRequest, TooLarge


class Ledger:
    """What is reserved stays reserved until it is released. `limit` None: no limit, but still an account."""

    def __init__(self, limit: int | None = None) -> None:
        if limit is not None and limit < 0:
            raise BadRequest(f"memory limit is {limit} bytes; it must be 0 or more")
        self.limit = limit
        self._held: dict[Hashable, tuple[int, str]] = {}
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        with self._lock:
            return sum(nbytes for nbytes, _ in self._held.values())

    def check(self, nbytes: int, what: str) -> None:
        """TooLarge if `nbytes` could not be reserved even on an empty device."""
        if self.limit is not None and nbytes > self.limit:
            raise TooLarge(f"{what} needs {nbytes:,} bytes, the device's limit is {self.limit:,}; ask for less at once")

    def reserve(self, owner: Hashable, nbytes: int, kind: str) -> bool:
        """Books the bytes if they fit now; True if so."""
        with self._lock:
            if owner in self._held:
                raise RuntimeError(f"{owner!r} already holds memory")
            used = sum(held for held, _ in self._held.values())
            if self.limit is not None and used + nbytes > self.limit:
                return False
            self._held[owner] = (nbytes, kind)
            return True

    def release(self, owner: Hashable) -> None:
        """Gives back what `owner` holds, if anything."""
        with self._lock:
            self._held.pop(owner, None)

    def by_kind(self) -> dict[str, int]:
        out: dict[str, int] = {}
        with self._lock:
            for nbytes, kind in self._held.values():
                out[kind] = out.get(kind, 0) + nbytes
        return out
