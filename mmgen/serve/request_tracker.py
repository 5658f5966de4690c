"""Tracks running and recently ended requests by id."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from mmgen.engine.job import Priority, Request
from mmgen.errors import Closed, NotFound
from mmgen.serve.errors import RetryLater

REMEMBERED = 1000
"""Ended requests that are remembered."""
LONGEST = 1000
"""Characters of an error that are remembered."""
State = Literal["running", "done", "failed", "cancelled"]


@dataclass
class TrackedRequest:
    """A request and its state."""

    request: Request
    kind: str
    created: float = field(default_factory=time.time)  # seconds since 1970
    state: State = "running"
    error: str = ""
    ended: float | None = None
    streamed: bool = False


class RequestTracker:
    """Running requests, and those that ended last."""

    def __init__(
        self,
        most: int,
        soonest: Callable[[], float | None] = lambda: None,
        admit: Callable[[str], None] = lambda user: None,
    ) -> None:
        """
        Args:
            most: limit of concurrent requests.
            soonest: estimated seconds until one of them ends, None if unknown.
            admit: raises for a user whose requests are refused now.
        """
        self.most, self.soonest, self.admit = most, soonest, admit
        self.closed = False
        self._entries: OrderedDict[str, TrackedRequest] = OrderedDict()
        self._running = self._streams = 0
        self._changed = threading.Condition()

    def __len__(self) -> int:
        """Number of running requests."""
        return self._running

    @property
    def streams(self) -> int:
        """Number of running streamed requests."""
        return self._streams

    def begin(self, kind: str, user: str, priority: Priority) -> Request:
        """Raises RetryLater beyond the limit, Closed during shutdown, and whatever `admit` raises."""
        self.admit(user)
        request = Request.new(user, priority)
        with self._changed:
            if self.closed:
                raise Closed("this server shuts down and takes no new requests; ask another, or try again later")
            if self._running < self.most:
                self._running += 1
                self._entries[request.id] = TrackedRequest(request, kind)
                self._forget()
                return request
        raise RetryLater(f"{self.most} requests are under way, as many as this server takes; try again later", self.soonest())

    def rename(self, request: Request, id: str) -> None:
        """Another server's id for it."""
        with self._changed:
            self._entries[id] = self._entries.pop(request.id)
            request.id = id

    def stream(self, request: Request) -> None:
        """Marks the request as streamed."""
        with self._changed:
            entry = self._entries[request.id]
            if entry.ended is None and not entry.streamed:
                entry.streamed = True
                self._streams += 1

    def end(self, request: Request, error: BaseException | None = None) -> None:
        """Marks the request as ended; later calls are ignored."""
        with self._changed:
            entry = self._entries[request.id]
            if entry.ended is not None:
                return
            entry.ended, entry.error = time.time(), "" if error is None else tellable(str(error))
            entry.state = "done" if error is None else "cancelled" if request.cancelled else "failed"
            self._running -= 1
            self._streams -= entry.streamed
            self._changed.notify_all()

    def get(self, id: str) -> TrackedRequest:
        """Raises NotFound."""
        entry = self._entries.get(id)
        if entry is None:
            raise unknown(id)
        return entry

    def entries(self) -> list[TrackedRequest]:
        """Oldest first."""
        with self._changed:
            return list(self._entries.values())

    def kind(self, id: str) -> str:
        return self.get(id).kind

    def close(self) -> None:
        """Refuses new requests from now on."""
        self.closed = True

    def drained(self, timeout: float) -> bool:
        """Waits until no request is running; False on timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, timeout)

    def cancel_all(self) -> None:
        for entry in self.entries():
            if entry.ended is None:
                entry.request.cancel()

    def _forget(self) -> None:
        """Drops the oldest ended requests, in batches."""
        if len(self._entries) < self.most + 2 * REMEMBERED:
            return
        for id in [id for id, entry in self._entries.items() if entry.ended is not None][:-REMEMBERED]:
            del self._entries[id]


def tellable(text: str) -> str:
    """As it can be sent: a line of bounded length, in UTF-8."""
    return text[:LONGEST].encode("utf-8", "replace").decode()


def unknown(id: str) -> NotFound:
    """The same error for another user's request."""
    return NotFound(f'there is no request "{id}" (any more); the last {REMEMBERED} are known')
