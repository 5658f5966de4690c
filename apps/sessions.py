"""Tracks each browser session's running requests, so that Stop or a closed page cancels them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from mmgen.engine.job import Priority, Request
from mmgen.errors import MmgenError

LOCAL = "local"
"""The user of requests without an API key."""


class Sessions:
    """One tab's requests by session, so that a button or a closed page can cancel what is really running."""

    def __init__(self) -> None:
        self._running: dict[str, set[Request]] = {}
        self._guard = threading.Lock()

    @contextmanager
    def request(self, http: gr.Request, priority: Priority) -> Iterator[Request]:
        """A request of this session, cancelled if the caller exits early."""
        session = http.session_hash or "local"
        request = Request.new(user=key_of(http) or session, priority=priority)
        with self._guard:
            self._running.setdefault(session, set()).add(request)
        try:
            yield request
        except BaseException:
            request.cancel()
            raise
        finally:
            with self._guard:
                self._running[session].discard(request)
                if not self._running[session]:
                    del self._running[session]

    def cancel(self, http: gr.Request) -> None:
        """Cancels all running requests of the session."""
        with self._guard:
            found = list(self._running.get(http.session_hash or "local", ()))
        for request in found:
            request.cancel()


def key_of(http: gr.Request | None) -> str | None:
    """The user whose key opened the page, set by the server's authentication; None without keys."""
    caller = getattr(getattr(getattr(http, "request", None), "state", None), "caller", None)
    return None if caller is None or caller.user == LOCAL else str(caller.user)


@contextmanager
def error_toasts() -> Iterator[None]:
    """Shows an MmgenError as a toast message on the page."""
    try:
        yield
    except MmgenError as why:
        raise gr.Error(str(why), print_exception=False) from None
