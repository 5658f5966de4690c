"""Who asks, from which page, and what of theirs is running, so that Stop or a page that is gone cancels it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from mmgen.engine.job import Priority, Request
from mmgen.errors import MmgenError

LOCAL = "local"
"""The user of requests without an API key."""
GRACE = 30.0
"""Seconds in which a page that went may come back, as it does when it is reloaded, before its requests are cancelled."""
Shows = tuple[Callable[..., Any], list[Any] | None, list[Any]]
"""What a tab shows a page that is opened or reloaded: a function, its inputs and outputs."""
NAME = re.compile(r"[a-z0-9-]{8,64}")


class Pages:
    """Which page a Gradio session belongs to: a reload begins another session of the same page.

    A page is a tab of a browser, by a random name that it keeps until it is closed.
    """

    def __init__(self, grace: float = GRACE) -> None:
        self.grace, self._pages, self._guard = grace, dict[str, str](), threading.Lock()
        self._forget: list[Callable[[str], None]] = []

    def opened(self, name: str, http: gr.Request) -> None:
        """The page tells its name."""
        if NAME.fullmatch(str(name)):
            with self._guard:
                self._pages[_session(http)] = f"{key_of(http) or LOCAL}/{name}"

    def page(self, http: gr.Request) -> str:
        """The page of a call; of one that has told no name, its session."""
        return self._pages.get(_session(http), _session(http))

    def closed(self, http: gr.Request) -> None:
        """After the grace, unless the page has come back, what is kept for it is forgotten."""
        with self._guard:
            page = self._pages.pop(_session(http), _session(http))
        timer = threading.Timer(self.grace, self._gone, [page])
        timer.daemon = True
        timer.start()

    def when_gone(self, forget: Callable[[str], None]) -> None:
        self._forget.append(forget)

    def _gone(self, page: str) -> None:
        if page not in self._pages.values():
            for forget in self._forget:
                forget(page)


class Sessions:
    """One tab's requests by page."""

    def __init__(self, pages: Pages | None = None) -> None:
        self.pages = pages or Pages()
        self.pages.when_gone(self.cancel_all)
        self._running: dict[str, set[Request]] = {}
        self._guard = threading.Lock()

    @contextmanager
    def request(self, http: gr.Request, priority: Priority) -> Iterator[Request]:
        """A request of this page, cancelled if the caller exits early."""
        page = self.pages.page(http)
        request = Request.new(user=key_of(http) or page.rpartition("/")[2], priority=priority)
        with self._guard:
            self._running.setdefault(page, set()).add(request)
        try:
            yield request
        except BaseException:
            request.cancel()
            raise
        finally:
            with self._guard:
                self._running[page].discard(request)
                if not self._running[page]:
                    del self._running[page]

    def cancel(self, http: gr.Request) -> None:
        """Cancels all running requests of the page."""
        self.cancel_all(self.pages.page(http))

    def cancel_all(self, page: str) -> None:
        with self._guard:
            found = list(self._running.get(page, ()))
        for request in found:
            request.cancel()


def _session(http: gr.Request) -> str:
    return http.session_hash or LOCAL


def caller_of(http: gr.Request | None) -> Any:
    """Who opened the page, a `mmgen.serve.auth.Caller`, set by the server's authentication; None without keys."""
    return getattr(getattr(getattr(http, "request", None), "state", None), "caller", None)


def key_of(http: gr.Request | None) -> str | None:
    """The user whose key opened the page; None without keys."""
    caller = caller_of(http)
    return None if caller is None or caller.user == LOCAL else str(caller.user)


@contextmanager
def error_toasts() -> Iterator[None]:
    """Shows an MmgenError as a toast message on the page."""
    try:
        yield
    except MmgenError as why:
        raise gr.Error(str(why), print_exception=False) from None
