"""The only thread that touches the device. Knows runners, the scheduler and the ledger; not tokens, pixels or torch."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from mmgen.engine.active_jobs import ActiveJobs
from mmgen.engine.call_runner import CallRunner
from mmgen.engine.detached_results import Parking
from mmgen.engine.job import Handle, Job, Request
from mmgen.engine.memory.admission import Admission
from mmgen.engine.memory.ledger import Ledger
from mmgen.engine.memory.model_pool import ModelPool
from mmgen.engine.preemption import PreemptionPoints
from mmgen.engine.scheduling.cost_model import CostModel, Estimate
from mmgen.engine.scheduling.fair import FairScheduler
from mmgen.engine.scheduling.forecast import CompletionEstimate, Forecast
from mmgen.engine.scheduling.gap_limiter import GapLimiter
from mmgen.engine.scheduling.scheduler import Scheduler
from mmgen.engine.step_executor import StepExecutor, StepResult
from mmgen.engine.telemetry.metrics import EngineState, Metrics
from mmgen.engine.telemetry.snapshot import snapshot
from mmgen.engine.telemetry.trace import Trace
from mmgen.engine.watchdog import Watchdog
from mmgen.errors import Busy, Clash, Closed, MmgenError, NotFound, Stuck, nearest
from mmgen.interfaces import Runner

log = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")


class Engine:
    """Takes jobs from any thread and runs them turn by turn on its own."""

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
            max_gap_ms: what a streaming answer waits for others at most, see turns.py; None: as long as it takes.
            watchdog_s: after so long without a sign of life a step counts as hanging.
            free_memory: is called after a step ran out of memory, before it is tried again.
        """
        self.runners: dict[str, Runner] = {"call": CallRunner()}
        self.costs = CostModel()
        self.scheduler = GapLimiter(FairScheduler() if scheduler is None else scheduler, self.costs, max_gap_ms)
        self.ledger = Ledger() if ledger is None else ledger
        self.residents = ModelPool(self.ledger)
        self.metrics = Metrics(self._now) if metrics is None else metrics
        self.trace, self.parking = trace, Parking()
        self._forecast = Forecast(self.costs)
        self._interludes = PreemptionPoints(lambda: self.scheduler.streaming or len(self._waiting) > 0, self._interlude)
        self._quanta = StepExecutor(self.runners, self.residents, self.metrics, free_memory, self._interludes)
        self._watchdog = Watchdog(watchdog_s, self._hang)
        self._hangs = ""  # what the watchdog has to say, while it has
        self._wake = threading.Condition()  # guards all below, the scheduler and runners
        self._waiting = Admission(self.ledger, self.residents)
        self._roster = ActiveJobs()  # jobs that are not retired
        self._ended: deque[Job] = deque()  # to be retired
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
        if hasattr(runner, "pause_with"):
            runner.pause_with(self._interludes)

    def set_weight(self, user: str, weight: float) -> None:
        """A user of weight 2 gets twice the device time, and the memory, of one of weight 1 while both have work."""
        with self._wake:
            self.scheduler.set_weight(user, weight)
            self._waiting.set_weight(user, weight)
            self._forecast.weights[user] = weight

    def submit(self, job: Job) -> Handle:
        """Queues a job; the first one starts the device thread.

        Raises:
            NotFound: no runner of that name.
            TooLarge: it could never fit, with the numbers; or whatever else the runner has against it.
            DeadlineExceeded: its deadline cannot be met, by what its runner's quanta took so far, with the numbers.
            Closed: the engine takes no more work.
            Stuck: a step hangs.
        """
        self._not_here("submit")
        runner = self.runners.get(job.runner)
        if runner is None:
            raise NotFound(f'there is no runner "{job.runner}"{nearest(job.runner, sorted(self.runners))}')
        key, nbytes = runner.key(job), runner.reserve(job)
        hash(key)  # a TypeError is for who wrote the runner, here and not on the device thread
        self.ledger.check(nbytes, f"this {job.runner} job")
        estimate: Estimate | None = runner.estimate(job) if hasattr(runner, "estimate") else None
        with self._wake:
            if self._closing:
                raise Closed("the engine is closed; make a new Runtime")
            if self._hangs:
                raise Stuck(f"{self._hangs}; try again later, or restart the process")
            if job.submitted is not None or job.ended is not None:
                raise RuntimeError("a job is submitted once")
            job.key = key
            job.streams = getattr(runner, "streams", False) and job.request.priority != "batch"
            job.pauses = hasattr(runner, "pause_with") and self.scheduler.max_gap_ms is not None
            ahead = None if estimate is None else self._forecast.refuse_late(job, estimate)
            job.submitted, job.when_ended = time.monotonic(), self._note_end
            job.request.when_cancelled(self._note_cancel)  # first, so that no cancel falls between this and the roster's look
            self._roster.add(job)
            self._forecast.add(job, ahead)
            if self.trace is not None:
                self.trace.submitted(job)
            if nbytes or self.residents.knows(job.runner):
                self._waiting.add(job, nbytes, getattr(runner, "kind", ""))
            else:
                self.scheduler.add(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="mmgen-device", daemon=True)
                self._thread.start()
            self._wake.notify()
        log.debug("request %s: %s job of %s", job.request.id, job.runner, job.request.user, extra={"request": job.request.id})
        return Handle(job, lambda: self._not_here("wait"))

    def outlook(self, job: Job) -> CompletionEstimate | None:
        """When a job would be done if it were submitted now; None where nobody knows yet. Changes nothing."""
        runner = self.runners[job.runner]
        estimate: Estimate | None = runner.estimate(job) if hasattr(runner, "estimate") else None
        with self._wake:
            job.key, job.expected_quanta = runner.key(job), None if estimate is None else estimate.quanta
            return self._forecast.of(job)

    def soonest(self) -> float | None:
        """Seconds until the first of the jobs under way is expected to end; None where nobody knows.

        A server that is full computes from it when to come back.
        """
        with self._wake:
            return self._forecast.soonest()

    @property
    def trouble(self) -> str:
        """Why it takes no work; empty: it does."""
        return self._hangs or ("the engine is closed" if self._closing else "")

    def collect(self, request_id: str) -> list[Handle]:
        """The ended jobs of a request that was left with `on_leave="park"`, once. Raises NotFound."""
        with self._wake:
            return [Handle(job) for job in self.parking.take(request_id)]

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs `function` on the device thread between two quanta and returns what it returns."""
        result: R = self.submit(Job("call", lambda: function(*args, **kwargs))).result()
        return result

    def call_with(self, runner: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """`call` for a function that needs the model of that runner."""

        def visit() -> R:
            self.residents.visit(runner)
            return function(*args, **kwargs)

        return self.call(visit)

    def close(self, drain: bool = True, timeout: float | None = None) -> None:
        """Takes no more work, finishes what is queued (or cancels it), and ends the thread. Safe to repeat and in atexit.

        After `timeout` seconds it returns, whatever the device still does.
        """
        self._not_here("close")
        with self._wake:
            self._closing = True
            requests = [] if drain else self._roster.requests()
            self._wake.notify()
        for request in requests:
            request.cancel()
        if self._thread is not None:
            self._thread.join(timeout)
        self._watchdog.close()
        if self.trace is not None and (self._thread is None or not self._thread.is_alive()):
            self.trace.close()

    def stats(self) -> dict[str, Any]:
        """A snapshot: jobs without a quantum so far, jobs with one, bytes held by kind, and `Metrics.snapshot`."""
        now = self._now()
        return {
            "queued": sum(now.queued.values()),
            "running": sum(now.running.values()),
            "ledger": now.ledger,
            "quanta": sum(histogram.count for histogram in self.metrics.quanta.values()),
            **self.metrics.snapshot(),
        }

    def jobs(self) -> list[Job]:
        """What is not over yet, the oldest first."""
        with self._wake:
            jobs = list(self._roster)
        alive = (job for job in jobs if job.ended is None)  # may be many: nobody is to wait for that
        return sorted(alive, key=lambda job: job.submitted or 0.0)

    def _now(self) -> EngineState:
        return snapshot(self._wake, self.jobs(), self.runners, self.residents, self.scheduler)

    def _hang(self, message: str) -> None:
        """Told by the watchdog, on its thread: nobody is to wait for a step that may never end."""
        with self._wake:
            self._hangs = message
            jobs = list(self._roster)
        for job in jobs:
            job.fail(Stuck(f"{message}; try again later, or restart the process"))

    def _note_cancel(self, request: Request) -> None:
        with self._wake:
            self._roster.cancel(request)
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
        self._retire_ended()
        with self._wake:
            doomed = [*self._roster.doomed(), *self._admit()]
            batch = [] if doomed else self.scheduler.next()
            if not doomed and not batch:  # nobody is at work and nobody waits
                if self._closing:
                    return None
                self._wake.wait()
        for job, error in doomed:  # outside the lock: whoever waits for these may hold locks of his own
            job.fail(error)
        return batch

    def _interlude(self, spent: float, part: float) -> bool:
        """In the middle of a step: answers that are due take their turns. Whether there were any."""
        jobs, served = self._interludes.jobs, False
        while True:
            self._retire_ended(but=jobs)
            with self._wake:
                doomed = [*self._roster.doomed(), *self._admit()]
                batch = self.scheduler.due(jobs, spent, part)
            for job, error in doomed:
                job.fail(error)
            if not batch:
                break
            self._step(batch)
            served = True
        if served:
            self._watchdog.begin(jobs)
        return served

    def _admit(self) -> Iterator[tuple[Job, MmgenError]]:
        """Lets in who fits; refuses who does not although nothing is at work that could make room."""
        while (job := self._waiting.next()) is not None:
            self.scheduler.add(job)
        if self._waiting.first is not None and not len(self.scheduler):
            yield self._waiting.first, Busy(self._waiting.shortage(self._waiting.first))

    def _step(self, batch: list[Job]) -> None:
        runner = batch[0].runner
        self._watchdog.begin(batch)
        if (took := self._quanta.run(batch, self.scheduler.room)) is not None:
            self._charge(took)
        if self._watchdog.end():
            log.warning("the step of %s came back", runner, extra={"request": batch[0].request.id})
            self._hangs = ""

    def _charge(self, took: StepResult) -> None:
        batch, milliseconds = took.batch, took.milliseconds
        with self._wake:
            parts = self.scheduler.charge(batch, milliseconds)
            for job, part in zip(batch, parts, strict=True):
                job.device_ms += part
                if job.units:
                    job.quanta += 1
                    self._forecast.took(job)
                if job.waits:
                    self.scheduler.remove(job)
                    self._roster.block(job)
            self.metrics.observe_quantum(batch[0].runner, batch, milliseconds, parts)
            if self.trace is not None:
                self.trace.quantum(batch, took.began, milliseconds, took.away)

    def _retire_ended(self, but: Sequence[Job] = ()) -> None:
        """`but`: those whose step is still under way."""
        for _ in range(len(self._ended)):
            job = self._ended.popleft()
            if job in but:
                self._ended.append(job)
            else:
                self._retire(job)

    def _retire(self, job: Job) -> None:
        """An ended job gives back all it held."""
        try:
            self.runners[job.runner].release(job)
        except BaseException:  # the job has ended and its caller was told: the engine serves on
            log.exception("runner %s failed to release a job", job.runner)
        with self._wake:
            self.scheduler.remove(job)
            self._waiting.remove(job)
            self._roster.remove(job)
            for other in self._roster.unblock(job.runner):
                self.scheduler.add(other)
            self._note_result(job)

    def _note_result(self, job: Job) -> None:
        self._forecast.remove(job)
        if job.status == "done" and job.expected_quanta is not None:
            self.costs.observe_end(job.runner, job.expected_quanta, job.quanta)
        self.metrics.observe_end(job)
        if job.request.left and job.request.on_leave == "park":
            self.parking.keep(job)
        if self.trace is not None:
            self.trace.ended(job)
        log.debug(
            "request %s: %s job %s after %d quanta and %.0f ms",
            job.request.id, job.runner, job.status, job.quanta, job.device_ms, extra={"request": job.request.id},
        )  # fmt: skip

    def _give_up(self, error: BaseException) -> None:
        with self._wake:
            self._closing = True
            jobs = list(self._roster)
        for job in jobs:
            closed = Closed(f"the engine broke: {type(error).__name__}: {error}; make a new Runtime")
            closed.__cause__ = error
            job.fail(closed)
