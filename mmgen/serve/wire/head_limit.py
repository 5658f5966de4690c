"""A request's first line and headers: no more than so many bytes and lines, in so many seconds."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_BYTES = 2**16
MOST_LINES = 100
HEAD_S = 20.0
"""Until the head is whole, from the connection or its first byte."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's, which waits for a head however long it gets or takes. Closes the connection after 431 or 408."""

    head_s = HEAD_S

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._size = self._lines = self._head = 0  # bytes since the last request; header lines and bytes of this one
        self._in_head, self._timer = True, None  # type: bool, asyncio.TimerHandle | None
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._size += len(data)
        super().data_received(data)
        if self._in_head and self._size > MOST_BYTES:
            self._refuse(431)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._lines, self._head, self._in_head = 0, 0, True
        if self._timer is None:
            self._wait()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._bound(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._lines += 1
        self._bound(len(name) + len(value))

    def on_headers_complete(self) -> None:
        self._stop()
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._size = 0  # of the next head on this connection

    def send_400_response(self, msg: str) -> None:
        if not self._refused:
            super().send_400_response(msg)

    def _bound(self, more: int) -> None:
        self._head += more
        if self._lines > MOST_LINES or self._head > MOST_BYTES:
            self._refuse(431)
            raise ValueError("the head is over its limit")  # ends the parser

    def _wait(self) -> None:
        self._timer = self.loop.call_later(self.head_s, self._late)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self._in_head:
            self._refuse(408)

    def _refuse(self, status: int) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode())
        self.transport.close()
