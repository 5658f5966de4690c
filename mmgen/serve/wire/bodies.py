"""Middleware that reads bodies: no more than so many bytes, in so much time, and JSON of so many values and levels.

JSON is read here to its end and checked before the application sees it, with what JSON does not know (NaN, Infinity) or UTF-8
cannot hold (half of a surrogate pair): nothing of that comes into a route, a log, a history or an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import orjson
from starlette.datastructures import Headers

from mmgen.errors import BadRequest, MmgenError, TooLarge
from mmgen.serve import errors
from mmgen.serve.wire.json_scan import MOST_VALUES, JsonScan

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PIECE = 2**16
"""Bytes that are looked at before the event loop turns to others."""
IDLE_S = 20.0
"""Seconds without a byte of a body that is not whole."""
SLOWEST = 2**14
"""Bytes a second, on the whole, once IDLE_S have gone by."""
LINGER_S = 2.0
"""For which a body that was refused is still read, and forgotten."""
NUMBERS = {"/v1/embeddings": 400_000, "/v1/completions": 400_000}
"""Values of a body where texts may come as lists of token ids."""


OTHERS = ("multipart/", "application/x-www-form-urlencoded", "application/octet-stream")
"""Types of bodies that are no JSON; some routes take for it whatever else comes."""


ALWAYS = ("/api/", "/sdapi/")
"""Beginnings of paths whose bodies are JSON whatever they say they are."""


class SlowBody(MmgenError):
    """The client stopped sending, or sends by drops."""

    status = 408


class BodyLimit:
    """Answers 413, 408 or 400 to a body as soon as it is over a limit; the application then sees a client that hung up."""

    def __init__(self, app: ASGIApp, most: int, idle_s: float = IDLE_S) -> None:
        """`most`: bytes; `idle_s`: seconds without one."""
        self.app, self.most, self.idle_s = app, most, idle_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body = _Body(receive, send, self.most, self.idle_s)
        if declared(headers) > self.most:
            body.refusal = too_large(self.most)
        elif scope["path"].startswith(ALWAYS) or not is_other(headers):
            scan = JsonScan(NUMBERS.get(scope["path"], MOST_VALUES))
            await body.read_json(scan, parse=headers.get("content-type", "").partition(";")[0].strip().lower().endswith("json"))
        if body.refusal is None:
            try:
                await self.app(scope, body.receive, body.send)
            except Exception:
                if body.refusal is None:  # an application need not bear that its body ends early
                    raise
        if body.refusal is not None and not body.began:
            answer = errors.response(body.refusal)
            answer.headers["Connection"] = "close"
            await answer(scope, receive, body.linger if 0 <= declared(headers) <= self.most else send)


def declared(headers: Headers) -> int:
    """Bytes of the body, as far as the client says; -1 where it does not."""
    said = [value for value in headers.getlist("content-length") if value.isascii() and value.isdigit()]
    return max((int(value) if len(value) < 20 else 10**19 for value in said), default=-1)


def too_large(most: int) -> TooLarge:
    return TooLarge(f"the request is over the limit of {most / 2**20:g} MiB; send less at once")


def is_other(headers: Headers) -> bool:
    """Whether there is no body, or one that no route takes for JSON."""
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return True
    return headers.get("content-type", "").startswith(OTHERS)


class _Body:
    """One request's messages. Once there is a `refusal` the application sees a client that hung up, and is not heard."""

    def __init__(self, receive: Receive, send: Send, most: int, idle_s: float) -> None:
        self._receive, self._send, self._most, self._idle_s = receive, send, most, idle_s
        self._size, self._whole = 0, False
        self._read: bytes | None = None  # a body that was read before the application asks for it
        self._start = asyncio.get_running_loop().time()
        self.refusal: MmgenError | None = None
        self.began = False  # the answer is on its way

    async def receive(self) -> Message:
        if self.refusal is not None:
            return {"type": "http.disconnect"}
        if self._read is not None:
            body, self._read = self._read, None
            return {"type": "http.request", "body": body, "more_body": False}
        try:
            return await self._next()
        except MmgenError as why:
            self.refusal = why
            return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self.refusal is not None and not self.began:
            return
        self.began = True
        await self._send(message)

    async def read_json(self, scan: JsonScan, parse: bool) -> None:
        """All of it, checked; or the `refusal`. `parse`: whether it says that it is JSON."""
        pieces: list[bytes] = []
        try:
            while not self._whole:
                message = await self._next()
                if message["type"] != "http.request":
                    self._gone()
                    return
                for piece in _pieces(message.get("body", b"")):
                    scan.feed(piece)
                    pieces.append(piece)
                    await asyncio.sleep(0)
            self._read = b"".join(pieces)
            if parse:
                check(self._read)
        except MmgenError as why:
            self.refusal = why

    async def linger(self, message: Message) -> None:
        """Sends a refusal, and before its end reads what is still on its way, for LINGER_S at most.

        Who is cut off while it sends sees no answer.
        """
        sends = not self._whole and self._size <= self._most and not isinstance(self.refusal, SlowBody)
        if message["type"] == "http.response.start" or not sends:
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while not self._whole and self._size <= self._most:
                    got = await self._receive()
                    self._whole = not got.get("more_body", False)
                    self._size += len(got.get("body", b""))
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def _gone(self) -> None:
        """The client left in the middle: nobody waits for an answer."""
        self.refusal, self.began = BadRequest("the body ended before its end"), True

    async def _next(self) -> Message:
        """Raises TooLarge, or SlowBody."""
        if self._whole:
            return await self._receive()  # a client that waits may do so for long
        try:
            async with asyncio.timeout(self._idle_s):
                message = await self._receive()
        except TimeoutError:
            raise SlowBody(f"no byte of the body came for {self._idle_s:g} seconds; send it again, whole") from None
        if message["type"] != "http.request":
            return message
        self._size += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._size > self._most:
            raise too_large(self._most)
        seconds = asyncio.get_running_loop().time() - self._start
        if not self._whole and seconds > self._idle_s + self._size / SLOWEST:
            raise SlowBody(f"{self._size:,} bytes of the body came in {seconds:.0f} seconds; send at {SLOWEST:,} a second")
        return message


def _pieces(body: bytes) -> list[bytes]:
    return [body] if len(body) <= PIECE else [body[at : at + PIECE] for at in range(0, len(body), PIECE)]


def check(body: bytes, parse: Callable[[bytes], object] = orjson.loads) -> None:
    """Raises BadRequest for what is no JSON in UTF-8, and for values that JSON does not know."""
    if not body:
        return
    try:
        parse(body)
    except ValueError as why:
        raise BadRequest(f"the body is no JSON ({' '.join(str(why).split())[:200]}); send JSON in UTF-8") from None
