"""Responses that a later one may go on from, each its user's own. In memory: they end with the server."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from mmgen.errors import NotFound

MOST = 1000
MOST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class StoredResponse:
    """A response with the conversation up to its end."""

    response: Mapping[str, Any]
    messages: Sequence[Mapping[str, Any]]  # a chat's
    items: Sequence[Mapping[str, Any]]  # its own input
    size: int  # bytes as JSON


class ResponseStore:
    """The last ones, by MOST and MOST_BYTES. Thread-safe."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], StoredResponse] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def add(
        self, user: str, response: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], items: Sequence[Mapping[str, Any]]
    ) -> None:
        """One that is larger than all there is room for is not kept."""
        size = len(orjson.dumps([response, messages, items]))
        with self._lock:
            if size <= MOST_BYTES:
                self._kept[user, response["id"]] = StoredResponse(response, messages, items, size)
                self._size += size
            while len(self._kept) > MOST or self._size > MOST_BYTES:
                _, gone = self._kept.popitem(last=False)
                self._size -= gone.size

    def get(self, user: str, id: str) -> StoredResponse:
        """Raises NotFound, for another user's too."""
        with self._lock:
            found = self._kept.get((user, id))
            if found is None:
                raise NotFound(f'there is no response "{id[:100]}" (any more); the last {MOST} are kept until the server ends')
            self._kept.move_to_end((user, id))
            return found

    def delete(self, user: str, id: str) -> None:
        """Raises NotFound."""
        gone = self.get(user, id)
        with self._lock:
            if self._kept.pop((user, id), None) is not None:
                self._size -= gone.size
