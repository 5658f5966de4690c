"""HTTP from an event loop by the standard library: each exchange in a thread, its answer piece by piece."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from mmgen.errors import BadRequest

CONNECT_S = 5.0
PIECE = 2**16
AHEAD = 64
"""Pieces that are read before the client took those before: a slow client holds 4 MiB, and then slows the engine down."""
MOST_LISTED = 2**24
"""Bytes of an answer that is read at once: its models, its metrics."""


@dataclass(eq=False)
class HttpExchange:
    """A request under way. `status` and `kind` are known from the first piece on."""

    status: int = 0
    kind: str = ""  # Content-Type
    closed: bool = False
    pieces: asyncio.Queue[bytes | Exception | None] = field(default_factory=asyncio.Queue)  # None: the end
    connection: HTTPConnection | None = None
    room: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(AHEAD))

    def close(self) -> None:
        """The other side sees that nobody reads on; the answer ends here."""
        self.closed = True
        self.room.release()  # of the thread, should it wait
        if self.connection is not None and self.connection.sock is not None:
            with suppress(OSError):
                self.connection.sock.shutdown(socket.SHUT_RDWR)


class HttpEndpoint:
    """A server. `base`: its address, such as http://host:8000/v1."""

    def __init__(self, base: str, headers: Mapping[str, str], threads: int) -> None:
        """Raises BadRequest for what is no address."""
        told = f"{base[:200]} is no address of an engine; give one such as http://gpu1:8000/v1"
        try:
            parts = urlsplit(base.rstrip("/"))
            known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # half of an IPv6 address, a port beyond 65,535
            raise BadRequest(told) from None
        if not known:
            raise BadRequest(told)
        self.base, self.headers, self._parts = base.rstrip("/"), dict(headers), parts
        self._pool = ThreadPoolExecutor(threads, "mmgen-engine")

    def connected(self, read_s: float | None) -> HTTPConnection:
        """`read_s`: seconds that an answer may be silent. Raises OSError."""
        make: Any = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
        connection: HTTPConnection = make(self._parts.hostname, self._parts.port, timeout=CONNECT_S)
        connection.connect()
        connection.sock.settimeout(read_s)
        return connection

    def get(self, path: str, read_s: float = CONNECT_S) -> tuple[int, bytes]:
        """Status and body, waited for here. `path`: below the host, or below the base where it begins without a slash."""
        connection = self.connected(read_s)
        try:
            connection.request("GET", path if path.startswith("/") else f"{self._parts.path}/{path}", headers=self.headers)
            answer = connection.getresponse()
            return answer.status, answer.read(MOST_LISTED)
        finally:
            connection.close()

    async def post(self, exchange: HttpExchange, path: str, body: bytes, read_s: float) -> AsyncIterator[bytes]:
        """The answer's pieces as they come, at least one. Raises OSError and HTTPException; ends when it is closed."""
        loop = asyncio.get_running_loop()

        def tell(piece: bytes | Exception | None) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(exchange.pieces.put_nowait, piece)

        work = loop.run_in_executor(self._pool, self._exchange, exchange, f"{self._parts.path}{path}", body, read_s, tell)
        try:
            while (piece := await exchange.pieces.get()) is not None:
                if isinstance(piece, Exception):
                    if exchange.closed:
                        break
                    raise piece
                yield piece
                exchange.room.release()
        finally:
            exchange.close()
            await asyncio.shield(work)

    def _exchange(self, exchange: HttpExchange, path: str, body: bytes, read_s: float, tell: Any) -> None:
        try:
            connection = exchange.connection = self.connected(read_s)
            try:
                if exchange.closed:
                    return
                headers = {**self.headers, "Content-Type": "application/json", "Accept": "*/*"}
                connection.request("POST", path, body, headers)
                answer = connection.getresponse()
                exchange.status, exchange.kind = answer.status, answer.headers.get("Content-Type", "")
                tell(b"")
                while piece := answer.read1(PIECE):
                    exchange.room.acquire()
                    if exchange.closed:
                        return
                    tell(piece)
                if answer.length:  # fewer bytes than were announced
                    raise ConnectionError("the answer ended in the middle")
            finally:
                connection.close()
        except (OSError, HTTPException, ValueError, AttributeError) as why:  # the last two: closed by another thread
            tell(why if isinstance(why, OSError | HTTPException) else ConnectionError("the connection was closed"))
        finally:
            tell(None)

    def close(self) -> None:
        self._pool.shutdown(wait=False)
