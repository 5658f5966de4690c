"""The only thread that touches the device. Knows runners, the scheduler and the ledger; not tokens, pixels or torch."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from mmgen.engine.admission import Admission
from mmgen.engine.deadlines import Deadlines
from mmgen.engine.job import Handle, Job, Request
from mmgen.engine.ledger import Ledger
from mmgen.engine.metrics import Metrics
from mmgen.engine.scheduler import FairScheduler, Scheduler
from mmgen.errors import Busy, Cancelled, Clash, Closed, DeadlineExceeded, MmgenError, NotFound, nearest
from mmgen.interfaces import Runner

log = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")


class Calls:
    """Runs a function as a quantum of its own: loading a model, warming it up."""

    def key(self, job: Job) -> int:
        return id(job)

    def reserve(self, job: Job) -> int:
        return 0

    def step(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            job.finish(job.payload())

    def release(self, job: Job) -> None:
        pass


class Engine:
    """Takes jobs from any thread and runs them turn by turn on its own."""

    def __init__(
        self,
        runners: Mapping[str, Runner],
        scheduler: Scheduler | None = None,
        ledger: Ledger | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.runners: dict[str, Runner] = {"call": Calls()}
        self.scheduler: Scheduler = FairScheduler() if scheduler is None else scheduler
        self.ledger = Ledger() if ledger is None else ledger
        self.metrics = Metrics() if metrics is None else metrics
        self._wake = threading.Condition()  # guards all below, the scheduler and runners
        self._waiting = Admission(self.ledger)
        self._jobs: dict[Request, set[Job]] = {}  # that are not retired
        self._cancelled: deque[Request] = deque()
        self._deadlines = Deadlines()
        self._ended: deque[Job] = deque()  # to be retired
        self._parked: dict[Job, None] = {}  # that said they wait, the longest first
        self._closing = False
        self._thread: threading.Thread | None = None
        for name, runner in runners.items():
            self.add_runner(name, runner)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(drain=kind is None)

    def add_runner(self, name: str, runner: Runner) -> None:
        """One more runner, for a model that was loaded just now."""
        with self._wake:
            if name in self.runners:
                raise Clash(f'there is already a runner "{name}"; use another name')
            self.runners[name] = runner

    def set_weight(self, user: str, weight: float) -> None:
        """A user of weight 2 gets twice the device time, and the memory, of one of weight 1 while both have work."""
        with self._wake:
            self.scheduler.set_weight(user, weight)
            self._waiting.set_weight(user, weight)

    def submit(self, job: Job) -> Handle:
        """Queues a job; the first one starts the device thread.

        Raises:
            NotFound: no runner of that name.
            TooLarge: it could never fit, with the numbers; or whatever else the runner has against it.
            Closed: the engine takes no more work.
        """
        self._not_here("submit")
        runner = self.runners.get(job.runner)
        if runner is None:
            raise NotFound(f'there is no runner "{job.runner}"{nearest(job.runner, sorted(self.runners))}')
        key, nbytes = runner.key(job), runner.reserve(job)
        hash(key)  # a TypeError is for who wrote the runner, here and not on the device thread
        self.ledger.check(nbytes, f"this {job.runner} job")
        with self._wake:
            if self._closing:
                raise Closed("the engine is closed; make a new Runtime")
            if job.submitted is not None or job.ended is not None:
                raise RuntimeError("a job is submitted once")
            job.key, job.submitted, job.when_ended = key, time.monotonic(), self._note_end
            self._jobs.setdefault(job.request, set()).add(job)
            self._deadlines.add(job)
            if nbytes:
                self._waiting.add(job, nbytes)
            else:
                self.scheduler.add(job)
            job.request.when_cancelled(self._note_cancel)
            if job.request.cancelled:
                self._cancelled.append(job.request)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="mmgen-device", daemon=True)
                self._thread.start()
            self._wake.notify()
        return Handle(job, lambda: self._not_here("wait"))

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs `function` on the device thread between two quanta and returns what it returns."""
        result: R = self.submit(Job("call", lambda: function(*args, **kwargs))).result()
        return result

    def close(self, drain: bool = True, timeout: float | None = None) -> None:
        """Takes no more work, finishes what is queued (or cancels it), and ends the thread. Safe to repeat and in atexit.

        After `timeout` seconds it returns, whatever the device still does.
        """
        self._not_here("close")
        with self._wake:
            self._closing = True
            requests = [] if drain else list(self._jobs)
            self._wake.notify()
        for request in requests:
            request.cancel()
        if self._thread is not None:
            self._thread.join(timeout)

    def stats(self) -> dict[str, Any]:
        """A snapshot: jobs without a quantum so far, jobs with one, bytes held by runner, and `Metrics.snapshot`."""
        with self._wake:
            jobs = [job for jobs in self._jobs.values() for job in jobs if job.ended is None]
            running = sum(job.started is not None for job in jobs)
            return {
                "queued": len(jobs) - running,
                "running": running,
                "ledger": self.ledger.by_kind(),
                "quanta": sum(histogram.count for histogram in self.metrics.quanta.values()),
                **self.metrics.snapshot(),
            }

    def _note_cancel(self, request: Request) -> None:
        with self._wake:
            self._cancelled.append(request)
            self._wake.notify()

    def _note_end(self, job: Job) -> None:
        with self._wake:
            self._ended.append(job)
            self._wake.notify()

    def _not_here(self, what: str) -> None:
        if threading.current_thread() is self._thread:
            raise RuntimeError(f"cannot {what} on the device thread: it would wait for itself")

    def _run(self) -> None:
        try:
            while (batch := self._pick()) is not None:
                if batch:
                    self._step(batch)
        except BaseException as error:  # our own bug: nobody is to wait for a thread that is gone
            log.exception("the engine broke")
            self._give_up(error)

    def _pick(self) -> list[Job] | None:
        """Between two quanta: who ended, who comes in, who is next. Empty: look again; None: never again."""
        while self._ended:
            self._retire(self._ended.popleft())
        with self._wake:
            doomed = [*self._cancelled_jobs(), *self._late_jobs(), *self._admit()]
            batch = [] if doomed else self.scheduler.next()
            if not doomed and not batch:  # nobody is at work and nobody waits
                if self._closing:
                    return None
                self._wake.wait()
        for job, error in doomed:  # outside the lock: whoever waits for these may hold locks of his own
            job.fail(error)
        return batch

    def _cancelled_jobs(self) -> Iterator[tuple[Job, MmgenError]]:
        while self._cancelled:
            request = self._cancelled.popleft()
            for job in self._jobs.get(request, ()):
                yield job, Cancelled(f"request {request.id} was cancelled")

    def _late_jobs(self) -> Iterator[tuple[Job, MmgenError]]:
        for job in self._deadlines.late():
            assert job.request.deadline is not None and job.submitted is not None
            given = max(0.0, job.request.deadline - job.submitted)
            yield job, DeadlineExceeded(f"request {job.request.id} passed its deadline of {given:.3g} s; allow it more time")

    def _admit(self) -> Iterator[tuple[Job, MmgenError]]:
        """Lets in who fits; refuses who does not although nothing is at work that could make room."""
        while (job := self._waiting.next()) is not None:
            self.scheduler.add(job)
        if self._waiting.first is not None and not len(self.scheduler):
            yield self._waiting.first, Busy(self._waiting.shortage(self._waiting.first))

    def _step(self, batch: list[Job]) -> None:
        runner = batch[0].runner
        began = time.perf_counter()
        for job in batch:
            if job.started is None:
                job.begin()
                self.metrics.observe_start(job)
        try:
            self.runners[runner].step(batch)
        except BaseException as error:  # whatever it is, the engine lives on and every caller gets to know
            for job in batch:
                job.fail(error)
        milliseconds = 1000 * (time.perf_counter() - began)
        with self._wake:
            parts = self.scheduler.charge(batch, milliseconds)
            for job, part in zip(batch, parts, strict=True):
                job.device_ms += part
                if job.waits:
                    self.scheduler.remove(job)
                    self._parked[job] = None
            self.metrics.observe_quantum(runner, batch, milliseconds, parts)

    def _retire(self, job: Job) -> None:
        """An ended job gives back all it held."""
        try:
            self.runners[job.runner].release(job)
        except BaseException:  # the job has ended and its caller was told: the engine serves on
            log.exception("runner %s failed to release a job", job.runner)
        with self._wake:
            self.scheduler.remove(job)
            self._waiting.remove(job)
            self._parked.pop(job, None)
            self._wake_parked(job.runner)
            self.metrics.observe_end(job)
            jobs = self._jobs[job.request]
            jobs.discard(job)
            if not jobs:
                del self._jobs[job.request]

    def _wake_parked(self, runner: str) -> None:
        """What that runner's ended job gave back may be what they wait for."""
        for job in [parked for parked in self._parked if parked.runner == runner]:
            del self._parked[job]
            job.waits = False
            self.scheduler.add(job)

    def _give_up(self, error: BaseException) -> None:
        with self._wake:
            self._closing = True
            jobs = [job for jobs in self._jobs.values() for job in jobs]
        for job in jobs:
            closed = Closed(f"the engine broke: {type(error).__name__}: {error}; make a new Runtime")
            closed.__cause__ = error
            job.fail(closed)
