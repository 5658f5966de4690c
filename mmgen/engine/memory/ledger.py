"""One account of a device's memory: who reserved how many bytes, and for what kind of data.

Kinds: weights, kv, latents, activations, decode. `measured` is what the device reports, to compare with the account.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping

from mmgen.errors import BadRequest, TooLarge


class Ledger:
    """What is reserved stays reserved until it is released. `limit` None: no limit, but still an account."""

    def __init__(
        self, limit: int | None = None, device: str = "", measured: Callable[[], Mapping[str, int]] = dict[str, int]
    ) -> None:
        if limit is not None and limit < 0:
            raise BadRequest(f"memory limit is {limit} bytes; it must be 0 or more")
        self.limit, self.device, self.measured = limit, device, measured
        self.held = 0  # bytes
        self._owners: dict[Hashable, tuple[int, str]] = {}
        self._lock = threading.Lock()

    def __contains__(self, owner: Hashable) -> bool:
        return owner in self._owners

    @property
    def free(self) -> int | None:
        """Bytes that can be reserved now; None: no limit."""
        return None if self.limit is None else self.limit - self.held

    def fits_ever(self, nbytes: int) -> bool:
        """Whether `nbytes` could be reserved on an empty device."""
        return self.limit is None or nbytes <= self.limit

    def check(self, nbytes: int, what: str) -> None:
        """TooLarge, with the numbers, if `nbytes` never fit."""
        assert nbytes >= 0, f"{what} asks for {nbytes} bytes"
        if not self.fits_ever(nbytes):
            raise TooLarge(f"{what} needs {nbytes:,} bytes, the device's limit is {self.limit:,}; ask for less at once")

    def reserve(self, owner: Hashable, nbytes: int, kind: str) -> bool:
        """Books the bytes if they fit now; True if so."""
        assert nbytes >= 0, f"{owner!r} asks for {nbytes} bytes"
        with self._lock:
            if owner in self._owners:
                raise RuntimeError(f"{owner!r} already holds memory")
            if not self.fits_ever(self.held + nbytes):
                return False
            self._owners[owner] = (nbytes, kind)
            self.held += nbytes
            return True

    def release(self, owner: Hashable) -> None:
        """Gives back what `owner` holds, if anything."""
        with self._lock:
            nbytes, _ = self._owners.pop(owner, (0, ""))
            self.held -= nbytes

    def by_kind(self) -> dict[str, int]:
        """Bytes held, by the kind they were reserved as."""
        out: dict[str, int] = {}
        with self._lock:
            for nbytes, kind in self._owners.values():
                out[kind] = out.get(kind, 0) + nbytes
        return out
