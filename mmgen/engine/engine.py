"""The only thread that touches the device. Knows runners, the scheduler and the ledger; not tokens, pixels or torch."""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, ParamSpec, TypeVar

from mmgen.engine.job import Handle, Job, Request
from mmgen.engine.ledger import Ledger
from mmgen.engine.metrics import Metrics
from mmgen.engine.scheduler import FairScheduler
from mmgen.errors import Cancelled, Clash, Closed, DeadlineExceeded, NotFound, nearest
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
        scheduler: FairScheduler | None = None,
        ledger: Ledger | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.runners: dict[str, Runner] = {"call": Calls(), **runners}
        self.scheduler, self.ledger = scheduler or FairScheduler(), ledger or Ledger()
        self.metrics = metrics or Metrics()
        self._wake = threading.Condition()  # guards all below
        self._inbox: deque[Job] = deque()  # submitted, not yet admitted, oldest first
        self._bytes: dict[Job, int] = {}  # what each waiting job is to reserve
        self._deadlines: list[tuple[float, int, Job]] = []
        self._requests: dict[Request, set[Job]] = {}  # unended jobs
        self._cancelled: deque[Request] = deque()
        self._numbers = count()
        self._closing = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_runner(self, name: str, runner: Runner) -> None:
        """One more runner, for a model that was loaded just now."""
        with self._wake:
            if name in self.runners:
                raise Clash(f'there is already a runner "{name}"; use another name')
            self.runners[name] = runner

    def set_weight(self, user: str, weight: float) -> None:
        with self._wake:
            self.scheduler.set_weight(user, weight)

    def submit(self, job: Job) -> Handle:
        """Queues a job.

        Raises:
            NotFound: no runner of that name.
            TooLarge: it could never fit, with the numbers; or whatever else the runner has against it.
            Closed: the engine takes no more work.
        """
        self._not_here("submit")
        runner = self.runners.get(job.runner)
        if runner is None:
            raise NotFound(f'there is no runner "{job.runner}"{nearest(job.runner, sorted(self.runners))}')
        job.key = runner.key(job)
        nbytes = runner.reserve(job)
        self.ledger.check(nbytes, f"this {job.runner} job")
        with self._wake:
            if self._closing:
                raise Closed("the engine is closed; make a new Runtime")
            self._inbox.append(job)
            self._bytes[job] = nbytes
            self._requests.setdefault(job.request, set()).add(job)
            if job.request.deadline is not None:
                heapq.heappush(self._deadlines, (job.request.deadline, next(self._numbers), job))
            job.request.when_cancelled(self._notice)
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
        """Takes no more work, finishes what is queued (or cancels it), and ends the thread. Safe to repeat."""
        self._not_here("close")
        with self._wake:
            self._closing = True
            requests = [] if drain else list(self._requests)
            self._wake.notify()
        for request in requests:
            request.cancel()
        if self._thread is not None:
            self._thread.join(timeout)

    def stats(self) -> dict[str, Any]:
        """A snapshot: queue, shares, memory, quanta."""
        with self._wake:
            return {
                "waiting": len(self._inbox),
                "running": len(self.scheduler),
                "device_ms": {name: round(spent, 3) for name, spent in self.metrics.users.items()},
                "memory": self.ledger.by_kind(),
                "quanta": {runner: histogram.count for runner, histogram in self.metrics.quanta.items()},
                "jobs": {f"{runner} {status}": n for (runner, status), n in self.metrics.jobs.items()},
            }

    def _notice(self, request: Request) -> None:
        with self._wake:
            self._cancelled.append(request)
            self._wake.notify()

    def _not_here(self, what: str) -> None:
        if threading.current_thread() is self._thread:
            raise RuntimeError(f"cannot {what} on the device thread: it would wait for itself")

    def _run(self) -> None:
        while (batch := self._turn()) is not None:
            if batch:
                self._step(batch)

    def _turn(self) -> list[Job] | None:
        """Between two quanta: who ended, who comes in, who is next. None when all is done and the engine closes."""
        with self._wake:
            self._drop()
            self._admit()
            batch = self.scheduler.next()
            if batch or self._cancelled:
                return batch
            if self._closing and not self._inbox:
                return None
            soonest = self._deadlines[0][0] - time.monotonic() if self._deadlines else None
            self._wake.wait(None if soonest is None else max(0.0, soonest) + 0.001)
            return []

    def _drop(self) -> None:
        """Ends jobs whose request was cancelled or is late."""
        while self._cancelled:
            for job in list(self._requests.get(self._cancelled.popleft(), ())):
                job.fail(Cancelled(f"request {job.request.id} was cancelled"))
                self._retire(job)
        while self._deadlines and (self._deadlines[0][2].ended is not None or self._deadlines[0][2].request.late()):
            job = heapq.heappop(self._deadlines)[2]
            if job.ended is None:
                job.fail(DeadlineExceeded(f"request {job.request.id} passed its deadline; allow it more time"))
                self._retire(job)

    def _admit(self) -> None:
        """In the order of submission: a large job at the front is waited for, and so cannot starve."""
        while self._inbox and self.ledger.reserve(self._inbox[0], self._bytes[self._inbox[0]], self._inbox[0].runner):
            job = self._inbox.popleft()
            del self._bytes[job]
            self.scheduler.add(job)

    def _step(self, batch: list[Job]) -> None:
        began = time.perf_counter()
        for job in batch:
            if job.started is None:
                job.started, job.status = time.monotonic(), "running"
                self.metrics.started(job)
        try:
            self.runners[batch[0].runner].step(batch)
        except BaseException as error:  # whatever it is, the engine lives on and every caller gets to know
            for job in batch:
                job.fail(error)
        milliseconds = 1000 * (time.perf_counter() - began)
        with self._wake:
            self.metrics.quantum(batch[0].runner, batch, milliseconds)
            self.scheduler.charge(batch, milliseconds)
            for job in batch:
                if job.ended is not None:
                    self._retire(job)

    def _retire(self, job: Job) -> None:
        """An ended job gives back all it held."""
        waiting = self._bytes.pop(job, None) is not None
        if waiting:
            self._inbox.remove(job)
        else:
            self.scheduler.remove(job)
            self.ledger.release(job)
        jobs = self._requests[job.request]
        jobs.discard(job)
        if not jobs:
            del self._requests[job.request]
        self.metrics.ended(job)
        try:
            self.runners[job.runner].release(job)
        except Exception:  # the job has ended and its caller was told: the engine serves on
            log.exception("runner %s failed to release a job", job.runner)
