"""One device, shared by all models: jobs are submitted from any thread and run by the device thread (device_loop.py).

Knows runners, the scheduler and the ledger; torch-free.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from mmgen.deprecated import attributes
from mmgen.engine.call_runner import CallRunner
from mmgen.engine.device_loop import DeviceLoop
from mmgen.engine.job import Handle, Job
from mmgen.engine.memory.ledger import Ledger
from mmgen.engine.memory.model_pool import ModelPool
from mmgen.engine.scheduling.cost_model import CostModel, Estimate
from mmgen.engine.scheduling.fair import FairScheduler
from mmgen.engine.scheduling.forecast import CompletionEstimate
from mmgen.engine.scheduling.gap_limiter import GapLimiter
from mmgen.engine.scheduling.scheduler import Scheduler
from mmgen.engine.telemetry.metrics import EngineState, Metrics
from mmgen.engine.telemetry.observer import JobObserver
from mmgen.engine.telemetry.snapshot import snapshot
from mmgen.engine.telemetry.trace import Trace
from mmgen.errors import Clash, Closed, NotFound, Stuck, nearest
from mmgen.interfaces import Runner

log = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")


@attributes(residents="models", outlook="estimate")
class Engine:
    """Takes jobs from any thread and runs them, a quantum at a time, on the device thread."""

    def __init__(
        self,
        runners: Mapping[str, Runner],
        scheduler: Scheduler | None = None,
        ledger: Ledger | None = None,
        metrics: Metrics | None = None,
        *,
        max_gap_ms: float | None = None,
        trace: Trace | None = None,
        watchdog_s: float = 600.0,
        free_memory: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            scheduler: the policy; None: fair.
            max_gap_ms: longest run of other work while an answer streams, see gap_limiter.py; None: no limit.
            watchdog_s: seconds without an event after which a step counts as hanging.
            free_memory: called after a step ran out of memory, before it is tried again.
        """
        self.runners: dict[str, Runner] = {"call": CallRunner()}
        self.costs = CostModel()
        self.scheduler = GapLimiter(FairScheduler() if scheduler is None else scheduler, self.costs, max_gap_ms)
        self.ledger = Ledger() if ledger is None else ledger
        self.models = ModelPool(self.ledger)
        self.metrics = Metrics(self._now) if metrics is None else metrics
        self.observers: list[JobObserver] = [] if trace is None else [trace]
        self.admit: Callable[[str], None] = lambda user: None  # raises for a user whose requests are refused now
        self._loop = DeviceLoop(
            self.runners, self.scheduler, self.models, self.costs, self.metrics, self.observers, watchdog_s, free_memory
        )
        for name, runner in runners.items():
            self.add_runner(name, runner)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(drain=kind is None)

    def add_runner(self, name: str, runner: Runner) -> None:
        """Registers a runner, for a model that was just loaded. Raises Clash if the name is taken."""
        with self._loop.lock:
            if name in self.runners:
                raise Clash(f'there is already a runner "{name}"; use another name')
            self.runners[name] = runner
        if hasattr(runner, "pause_with"):
            runner.pause_with(self._loop.preemption)

    def set_weight(self, user: str, weight: float) -> None:
        """A user of weight 2 gets twice the device time, and the memory, of one of weight 1 while both have work."""
        with self._loop.lock:
            self.scheduler.set_weight(user, weight)
            self._loop.admission.set_weight(user, weight)
            self._loop.forecast.weights[user] = weight

    def submit(self, job: Job) -> Handle:
        """Queues a job; the first one starts the device thread.

        Raises:
            NotFound: no runner of that name.
            TooLarge: it could never fit, with the numbers; or whatever else the runner has against it.
            DeadlineExceeded: its deadline cannot be met, by what its runner's quanta took so far, with the numbers.
            Closed: the engine takes no more work.
            Stuck: a step hangs.
            MmgenError: whatever `admit` has against the user, at a request's first job.
        """
        self._refuse_device_thread("submit")
        if not job.request.admitted:
            self.admit(job.request.user)
            job.request.admitted = True
        runner = self.runners.get(job.runner)
        if runner is None:
            raise NotFound(f'there is no runner "{job.runner}"{nearest(job.runner, sorted(self.runners))}')
        key, nbytes = runner.key(job), runner.reserve(job)
        hash(key)  # a TypeError is for who wrote the runner, here and not on the device thread
        self.ledger.check(nbytes, f"this {job.runner} job")
        estimate: Estimate | None = runner.estimate(job) if hasattr(runner, "estimate") else None
        loop = self._loop
        with loop.lock:
            if loop.closing:
                raise Closed("the engine is closed; make a new Runtime")
            if loop.hang:
                raise Stuck(f"{loop.hang}; try again later, or restart the process")
            if job.submitted is not None or job.ended is not None:
                raise RuntimeError("a job is submitted once")
            job.key = key
            job.streams = getattr(runner, "streams", False) and job.request.priority != "batch"
            job.pauses = hasattr(runner, "pause_with") and self.scheduler.max_gap_ms is not None
            ahead = None if estimate is None else loop.forecast.refuse_late(job, estimate)
            job.submitted = time.monotonic()
            loop.forecast.add(job, ahead)
            for observer in self.observers:
                observer.submitted(job)
            loop.add(job, nbytes, getattr(runner, "kind", ""))
        log.debug("request %s: %s job of %s", job.request.id, job.runner, job.request.user, extra={"request": job.request.id})
        return Handle(job, lambda: self._refuse_device_thread("wait"))

    def estimate(self, job: Job) -> CompletionEstimate | None:
        """When a job would end if it were submitted now; None while its cost is unknown. Changes nothing."""
        runner = self.runners[job.runner]
        estimate: Estimate | None = runner.estimate(job) if hasattr(runner, "estimate") else None
        with self._loop.lock:
            job.key, job.expected_quanta = runner.key(job), None if estimate is None else estimate.quanta
            return self._loop.forecast.of(job)

    def soonest(self) -> float | None:
        """Seconds until the first running job is expected to end; None if unknown. A full server's Retry-After."""
        with self._loop.lock:
            return self._loop.forecast.soonest()

    @property
    def trouble(self) -> str:
        """Why it takes no work; empty: it does."""
        return self._loop.hang or ("the engine is closed" if self._loop.closing else "")

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs `function` on the device thread between two quanta and returns what it returns."""
        result: R = self.submit(Job("call", lambda: function(*args, **kwargs))).result()
        return result

    def call_with(self, runner: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """`call` for a function that needs the model of that runner."""

        def visit() -> R:
            self.models.visit(runner)
            return function(*args, **kwargs)

        return self.call(visit)

    def close(self, drain: bool = True, timeout: float | None = None) -> None:
        """Takes no more work, finishes what is queued (or cancels it), and ends the thread. Safe to repeat and in atexit.

        After `timeout` seconds it returns, whatever the device still does.
        """
        self._refuse_device_thread("close")
        self._loop.close(drain, timeout)
        if not self._loop.alive:
            for observer in self.observers:
                observer.close()

    def stats(self) -> dict[str, Any]:
        """A snapshot: jobs without a quantum so far, jobs with one, bytes held by kind, and `Metrics.snapshot`."""
        now = self._now()
        return {
            "queued": sum(now.queued.values()),
            "running": sum(now.running.values()),
            "ledger": now.ledger,
            "quanta": sum(histogram.count for histogram in self.metrics.quanta.copy().values()),
            **self.metrics.snapshot(),
        }

    def jobs(self) -> list[Job]:
        """Submitted jobs that have not ended, the oldest first."""
        with self._loop.lock:
            jobs = list(self._loop.active)
        alive = (job for job in jobs if job.ended is None)  # filtered outside the lock: there may be many
        return sorted(alive, key=lambda job: job.submitted or 0.0)

    def _now(self) -> EngineState:
        return snapshot(self._loop.lock, self.jobs(), self.runners, self.models, self.scheduler, self._loop.forecast)

    def _refuse_device_thread(self, what: str) -> None:
        if self._loop.is_current_thread():
            raise RuntimeError(f"cannot {what} on the device thread: it would wait for itself")
