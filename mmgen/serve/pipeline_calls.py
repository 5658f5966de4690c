"""Calls a pipeline from a route: in a worker thread, cancelled when the client disconnects.

After a disconnect the engine drops the request before its next step.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request as HttpRequest
from fastapi.responses import StreamingResponse

from mmgen.engine.job import Request
from mmgen.serve import errors
from mmgen.serve.context import Context
from mmgen.serve.wire.one_line import one_line

T = TypeVar("T")
GATHER_S = 0.005
"""Events of a stream that come within so many seconds of the last piece are sent together."""
ALONE_S, A_STREAM_S, MOST_S, PIECES = 0.01, 0.003, 0.05, 1000
"""Of `pace`: seconds of one stream; what each of several takes, up to a limit; and pieces a second of however many."""


@dataclass(frozen=True)
class ServerEvent:
    """A server-sent event with a name; others have none."""

    event: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class StreamFormat:
    """How the events of a stream are written."""

    event: Callable[[Mapping[str, Any] | ServerEvent], bytes]
    failed: Callable[[Mapping[str, Any]], bytes]  # of an error's body, as mmgen.serve.errors has it
    end: bytes
    media_type: str = "text/event-stream"


async def run(context: Context, request: Request, work: Callable[[], T]) -> T:
    """`in_thread`, left once the client has hung up; then it raises Cancelled."""
    watching = asyncio.create_task(_watch(context.http, request))
    try:
        return await in_thread(context, request, work)
    finally:
        watching.cancel()


async def in_thread(context: Context, request: Request, work: Callable[[], T]) -> T:
    """What `work` returns, which runs in a thread and gives `request` to the pipelines it calls. Raises its error.

    Whoever keeps the call in the history does so in `work`: the event loop is not to wait for a disk.
    """

    def whole() -> T:
        error: BaseException | None = None
        try:
            return work()
        except BaseException as why:
            error = why
            raise
        finally:
            context.tracker.end(request, error)

    try:
        future = asyncio.get_running_loop().run_in_executor(context.http.app.state.pool, copy_context().run, whole)
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        request.leave()
        raise


async def stream(
    context: Context,
    request: Request,
    work: Callable[[], Iterator[Mapping[str, Any] | ServerEvent]],
    done: bool = True,
    form: StreamFormat | None = None,
) -> StreamingResponse:
    """Server-sent events: the JSON of everything that `work` yields, in a thread as above; at last `[DONE]`, where `done`.

    `form`: of another API's streams.

    An error before the first event is raised here and gets its status; a later one is an event with an error. The request gets
    the `pace` of all streams that are under way.
    """
    loop, form = asyncio.get_running_loop(), form or (OPENAI if done else UNMARKED)
    outbox = EventBridge(loop)
    tracker = context.tracker
    tracker.stream(request)
    request.pace = lambda: pace(tracker.streams)  # without the context: the tracker remembers requests, not their bodies

    def pump() -> None:
        error: BaseException | None = None
        try:
            for message in work():
                outbox.put(form.event(message))
        except BaseException as why:
            error = why
        finally:
            context.tracker.end(request, error)
            outbox.end(error)

    watching = asyncio.create_task(_watch(context.http, request))
    loop.run_in_executor(context.http.app.state.pool, copy_context().run, pump)
    try:
        first = await outbox.get()
    except asyncio.CancelledError:
        request.leave()
        watching.cancel()
        raise
    if isinstance(first, BaseException):
        watching.cancel()
        raise first
    body = _body(first, outbox, request, watching, form)
    return StreamingResponse(body, media_type=form.media_type, headers={"Cache-Control": "no-cache"})


def pace(streams: int) -> float:
    """Seconds between two looks at one of so many, see `Handle.events`.

    A look and what it sends cost the device time, as threads and clients share processors and a lock with it: the more streams,
    the rarer.
    """
    return max(ALONE_S, min(MOST_S, streams * A_STREAM_S), streams / PIECES)


class EventBridge:
    """What one thread tells and the event loop sends. Waking the loop costs more than telling: the first goes out at once, and
    then what comes within `pause` seconds goes out in one piece."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pause: float = GATHER_S) -> None:
        self._loop, self._pause = loop, pause
        self._pieces: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
        self._lock = threading.Lock()
        self._gathered: list[bytes] = []
        self._sent = -math.inf  # when the last piece went out, by the loop's clock

    def put(self, event: bytes) -> None:
        with self._lock:
            self._gathered.append(event)
            alone = len(self._gathered) == 1
        if alone:
            self._call(self._plan)

    def end(self, error: BaseException | None) -> None:
        self._call(self._end, error)

    async def get(self) -> bytes | BaseException | None:
        """The next piece; None or an error at the end."""
        return await self._pieces.get()

    def _plan(self) -> None:
        self._loop.call_at(self._sent + self._pause, self._send)

    def _send(self) -> None:
        with self._lock:
            gathered, self._gathered = self._gathered, []
        if gathered:
            self._sent = self._loop.time()
            self._pieces.put_nowait(b"".join(gathered))

    def _end(self, error: BaseException | None) -> None:
        self._send()
        self._pieces.put_nowait(error)

    def _call(self, function: Callable[..., None], *args: Any) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody reads any more
            self._loop.call_soon_threadsafe(function, *args)


async def _body(
    item: bytes | BaseException | None, outbox: EventBridge, request: Request, watching: asyncio.Task[None], form: StreamFormat
) -> AsyncIterator[bytes]:
    try:
        while isinstance(item, bytes):
            yield item
            item = await outbox.get()
        yield form.end if item is None else form.failed(errors.error_body(item)) + form.end
    except (asyncio.CancelledError, GeneratorExit):
        request.leave()
        raise
    finally:
        watching.cancel()


async def _watch(http: HttpRequest, request: Request) -> None:
    """Leaves the request when its client hangs up. The body is read by now: all that can still come is the end."""
    while (await http.receive())["type"] != "http.disconnect":
        pass
    request.leave()


def server_sent(message: Mapping[str, Any] | ServerEvent) -> bytes:
    if isinstance(message, ServerEvent):
        return b"event: " + message.event.encode() + b"\ndata: " + one_line(message.data) + b"\n\n"
    return b"data: " + one_line(message) + b"\n\n"


OPENAI = StreamFormat(server_sent, server_sent, b"data: [DONE]\n\n")
UNMARKED = StreamFormat(server_sent, server_sent, b"")
"""Streams that end with their last event."""
