"""A request, its jobs, and the handle that a caller holds. Each field's comment names its one writer."""

from __future__ import annotations

import asyncio
import random
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from mmgen.errors import BadRequest, Cancelled, DeadlineExceeded, JobFailed, MmgenError, TooLarge, out_of_memory

Priority = Literal["interactive", "normal", "batch"]
OnLeave = Literal["abort", "finish"]
Status = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(eq=False)
class Request:
    """One call of a pipeline: one id, one deadline, one cancel over all its jobs. Fixed once its first job is submitted."""

    id: str = field(default_factory=lambda: secrets.token_hex(6))  # the caller
    user: str = "local"  # the caller: whose share of the device it takes
    priority: Priority = "normal"  # the caller
    deadline: float | None = None  # the caller: time.monotonic() seconds
    pace: Callable[[], float] = lambda: 0.0  # the caller: seconds between two looks of `Handle.events`; 0: at every event
    on_leave: OnLeave = "abort"  # the caller: what becomes of its jobs once the client has gone
    created: float = field(default_factory=time.time)  # the caller: seconds since 1970
    seed: int | None = None  # the caller: of what is drawn at random where the call names no seed; None: any
    cancelled: bool = field(default=False, init=False)  # cancel()
    admitted: bool = field(default=False, init=False)  # the engine, at its first job
    device_ms: float = field(default=0.0, init=False)  # the engine, after each quantum of any of its jobs
    _on_cancel: list[Callable[[Request], None]] = field(default_factory=list, init=False, repr=False)  # the engine

    def __post_init__(self) -> None:
        if self.priority not in ("interactive", "normal", "batch"):
            raise BadRequest(f"priority {self.priority!r} is unknown; use interactive, normal or batch")
        if self.on_leave not in ("abort", "finish"):
            raise BadRequest(f"on_leave {self.on_leave!r} is unknown; use abort or finish")

    @classmethod
    def new(cls, user: str = "local", priority: Priority = "normal", timeout_s: float | None = None) -> Request:
        """`timeout_s`: seconds from now after which its jobs fail with DeadlineExceeded."""
        if timeout_s is not None and not timeout_s > 0:
            raise BadRequest(f"timeout is {timeout_s} s; it must be above 0")
        return cls(user=user, priority=priority, deadline=None if timeout_s is None else time.monotonic() + timeout_s)

    def cancel(self) -> None:
        """Its jobs end as cancelled before their next quantum."""
        self.cancelled = True
        for tell in list(self._on_cancel):
            tell(self)

    def leave(self) -> None:
        """The reader is gone: a client disconnected, or a stream was closed early."""
        if self.on_leave == "abort":
            self.cancel()

    def when_cancelled(self, tell: Callable[[Request], None]) -> None:
        if tell not in self._on_cancel:
            self._on_cancel.append(tell)

    def check(self, where: str = "") -> None:
        """Raises Cancelled and DeadlineExceeded. `where` it is: "while writing"."""
        if self.cancelled:
            raise Cancelled(f"request {self.id} was cancelled")
        if self.late():
            raise DeadlineExceeded(f"request {self.id} passed its deadline {where}; allow it more time")

    def drawn_seed(self) -> int:
        """A short one for a call that names none: its own, or a random one."""
        return secrets.randbelow(2**32) if self.seed is None else self.seed

    def late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline


@dataclass(eq=False)
class Job:
    """Work for one runner, in as many quanta as it takes."""

    runner: str  # the caller: the name of the runner that takes it
    payload: Any  # the caller
    request: Request = field(default_factory=Request)  # the caller
    seed: int | None = None  # the caller; where it is None the constructor draws one, so that it can be read and repeated
    state: Any = field(default=None, init=False, repr=False)  # the runner: its own
    units: float = field(default=1.0, init=False)  # the runner: this job's part of the last quantum's work
    waits: bool = field(default=False, init=False)  # the runner: it can go on only once another of its jobs ended
    status: Status = field(default="queued", init=False)  # begin, finish, fail
    key: Any = field(default=None, init=False)  # the engine, from runner.key
    submitted: float | None = field(default=None, init=False)  # the engine; this and the next two in time.monotonic() seconds
    started: float | None = field(default=None, init=False)  # begin
    ended: float | None = field(default=None, init=False)  # finish, fail
    device_ms: float = field(default=0.0, init=False)  # the engine, after each quantum
    quanta: int = field(default=0, init=False)  # the engine, after each quantum
    rounds: int = field(default=1, init=False)  # the runner, in each step: quanta that it did in a row, see `Uncontended`
    expected_quanta: float | None = field(default=None, init=False)  # the engine, from runner.estimate; None: nobody knows
    expected_ms: float | None = field(default=None, init=False)  # the engine: of the device, alone
    expected_end: float | None = field(default=None, init=False)  # the engine, at submission; time.monotonic() seconds
    streams: bool = field(default=False, init=False)  # the engine: people read its events as they come
    pauses: bool = field(default=False, init=False)  # the engine: its steps have preemption points
    rng: random.Random = field(init=False, repr=False)  # the constructor; the runner draws
    future: Future[Any] = field(default_factory=Future, init=False, repr=False)  # finish, fail
    log: list[Any] = field(default_factory=list, init=False, repr=False)  # emit
    news: threading.Condition = field(default_factory=threading.Condition, init=False, repr=False)
    listeners: list[Callable[[], None]] = field(default_factory=list, init=False, repr=False)  # the handle
    when_ended: Callable[[Job], None] | None = field(default=None, init=False, repr=False)  # the engine

    def __post_init__(self) -> None:
        if self.seed is None:
            self.seed = secrets.randbits(63)
        self.rng = random.Random(self.seed)
        self.future.set_running_or_notify_cancel()  # from here on only finish and fail end it

    def begin(self) -> None:
        """Its first quantum begins."""
        with self.news:
            if self.ended is None:
                self.status, self.started = "running", time.monotonic()

    def emit(self, event: Any) -> None:
        """Appends an event for the readers of the job."""
        with self.news:
            if self.ended is None:
                self.log.append(event)
                self._tell()

    def finish(self, value: Any = None) -> None:
        """Ends it well. The first end counts; later ones are ignored."""
        self._end("done", value, None)

    def fail(self, error: BaseException) -> None:
        """Ends it badly: an MmgenError as it is, anything else as the cause of a JobFailed."""
        if not isinstance(error, MmgenError):
            cause, reason = error, str(error).partition("\n")[0] or "no reason given"
            if out_of_memory(cause):
                error = TooLarge(
                    f"this {self.runner} job does not fit into the device's memory ({reason}); ask for less at once"
                )
            else:
                error = JobFailed(f"{self.runner} failed: {type(cause).__name__}: {reason}")
            error.__cause__ = cause
        cancelled = isinstance(error, Cancelled | DeadlineExceeded)
        self._end("cancelled" if cancelled else "failed", None, error)

    def _end(self, status: Status, value: Any, error: MmgenError | None) -> None:
        with self.news:
            if self.ended is not None:
                return
            self.status, self.ended = status, time.monotonic()
        if error is None:  # not under the lock: callbacks take locks of their own
            self.future.set_result(value)
        else:
            self.future.set_exception(error)
        with self.news:
            self._tell()
        if self.when_ended:
            self.when_ended(self)

    def _tell(self) -> None:
        self.news.notify_all()
        for listener in self.listeners:
            listener()


class Handle:
    """A caller's end of a job: read its events and its result, or cancel it; from threads and from asyncio."""

    def __init__(self, job: Job, may_wait: Callable[[], None] = lambda: None) -> None:
        self.job = job
        self._may_wait = may_wait  # raises on the device thread, which would wait for itself

    @property
    def status(self) -> Status:
        return self.job.status

    def done(self) -> bool:
        return self.job.future.done()

    def leave(self) -> None:
        """The reader is gone; see `Request.on_leave`."""
        self.job.request.leave()

    def cancel(self) -> None:
        """Cancels the whole request that the job belongs to."""
        self.job.request.cancel()

    def result(self, timeout: float | None = None) -> Any:
        """Waits for the end. Raises the job's error, or TimeoutError after `timeout` seconds (the job goes on)."""
        self._may_wait()
        try:
            return self.job.future.result(timeout)
        except TimeoutError:
            raise TimeoutError(f"job of {self.job.runner} is not done after {timeout} s") from None

    def events(self, timeout: float | None = None) -> Iterator[Any]:
        """Every event from the first on, until the job ends; then raises its error if it has one.

        Where the request has a pace, an event waits for the next multiple of it on the clock, if one was told since the last:
        threads then wake more rarely, and those of other handles with them. The first event and the end are told at once.
        Raises TimeoutError after `timeout` seconds without an event. Who stops reading does not stop the job: `cancel` does.
        """
        self._may_wait()
        read = 0
        while True:
            if read and (pace := self.job.request.pace()):
                with suppress(TimeoutError):
                    self.job.future.exception(pace - time.monotonic() % pace)  # the end wakes it, an event does not
            with self.job.news:
                if not self.job.news.wait_for(lambda: len(self.job.log) > read or self.done(), timeout):  # noqa: B023
                    raise TimeoutError(f"no event from {self.job.runner} in {timeout} s")
                fresh = self.job.log[read:]
            if not fresh:
                self.job.future.result()
                return
            read += len(fresh)
            yield from fresh

    def __await__(self) -> Generator[Any, None, Any]:
        return self.aresult().__await__()

    async def aresult(self) -> Any:
        """`result` for asyncio; cancelling the waiting task cancels the request."""
        self._may_wait()
        try:
            return await asyncio.wrap_future(self.job.future)
        except asyncio.CancelledError:
            self.leave()
            raise

    async def aevents(self) -> AsyncIterator[Any]:
        """`events` for asyncio; cancelling the task while it waits here cancels the request."""
        self._may_wait()
        loop, fresh = asyncio.get_running_loop(), asyncio.Event()

        def listener() -> None:
            with suppress(RuntimeError):  # the loop was closed: nobody reads any more
                loop.call_soon_threadsafe(fresh.set)

        with self.job.news:
            self.job.listeners.append(listener)
        read = 0
        try:
            while True:
                fresh.clear()
                ended = self.done()
                for event in self.job.log[read:]:
                    read += 1
                    yield event
                if ended and read == len(self.job.log):
                    self.job.future.result()
                    return
                if read == len(self.job.log) and not self.done():
                    await fresh.wait()
        except asyncio.CancelledError:
            self.leave()
            raise
        finally:
            with self.job.news:
                self.job.listeners.remove(listener)
