"""The loop of the device thread: choose a batch, run one quantum of it, charge its time, retire what ended.

A preemption point re-enters a step inside another model's forward pass. A runner that can be preempted calls
`PreemptionPoints` between two layers; that calls `DeviceLoop._preempt`, which runs whole quanta of due streaming jobs on the
same thread, through the same `_step`, and then returns into the layers of the outer step. Hence: `_step` is re-entrant, one
level deep (inside an inner step a preemption point does nothing); jobs of the outer step are not retired before it returns,
even if they have ended; and the milliseconds spent inside are subtracted from what the outer step is charged.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from mmgen.engine.active_jobs import ActiveJobs
from mmgen.engine.job import Job, Request
from mmgen.engine.memory.admission import Admission
from mmgen.engine.memory.model_pool import ModelPool
from mmgen.engine.preemption import PreemptionPoints
from mmgen.engine.scheduling.cost_model import CostModel
from mmgen.engine.scheduling.forecast import Forecast
from mmgen.engine.scheduling.gap_limiter import GapLimiter
from mmgen.engine.step_executor import StepExecutor, StepResult
from mmgen.engine.telemetry.metrics import Metrics
from mmgen.engine.telemetry.observer import JobObserver
from mmgen.engine.uncontended import Uncontended
from mmgen.engine.watchdog import Watchdog
from mmgen.errors import Busy, Closed, MmgenError, Stuck
from mmgen.interfaces import Runner

log = logging.getLogger(__name__)


class DeviceLoop:
    """Runs submitted jobs on a thread of its own. Whoever touches its attributes from another thread holds `lock`."""

    def __init__(
        self,
        runners: Mapping[str, Runner],
        scheduler: GapLimiter,
        models: ModelPool,
        costs: CostModel,
        metrics: Metrics,
        observers: Sequence[JobObserver],
        watchdog_s: float,
        free_memory: Callable[[], None],
    ) -> None:
        self.runners, self.scheduler, self.costs, self.metrics = runners, scheduler, costs, metrics
        self.observers = observers  # the engine adds to them
        self.lock = threading.Condition()  # guards all below, the scheduler and runners; notified when there may be work
        self.forecast = Forecast(costs)
        self.admission = Admission(models.ledger, models)
        self.active = ActiveJobs()  # submitted and not yet retired
        self.closing = False  # ends once no job is left
        self.uncontended = Uncontended()
        self.hang = ""  # the watchdog's message, while a step hangs
        self.preemption = PreemptionPoints(lambda: scheduler.streaming or len(self.admission) > 0, self._preempt)
        self._executor = StepExecutor(runners, models, metrics, free_memory, self.preemption)
        self._watchdog = Watchdog(watchdog_s, self._report_hang)
        self._ended: deque[Job] = deque()  # to be retired
        self._thread: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def is_current_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def add(self, job: Job, nbytes: int, kind: str) -> None:
        """Queues a job, `lock` held: for admission if it or its model needs memory. The first one starts the thread."""
        self.uncontended.stop.value = 1
        job.when_ended = self._note_end
        job.request.when_cancelled(self._note_cancel)  # first, so that no cancel falls between this and the look of `active`
        self.active.add(job)
        if nbytes or self.admission.models.knows(job.runner):
            self.admission.add(job, nbytes, kind)
        else:
            self.scheduler.add(job)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mmgen-device", daemon=True)
            self._thread.start()
        self.lock.notify()

    def close(self, drain: bool, timeout: float | None) -> None:
        """Ends the thread: after the jobs that are queued, or without `drain` after cancelling them."""
        with self.lock:
            self.closing, self.uncontended.stop.value = True, 1
            requests = [] if drain else self.active.requests()
            self.lock.notify()
        for request in requests:
            request.cancel()
        if self._thread is not None:
            self._thread.join(timeout)
        self._watchdog.close()

    def _report_hang(self, message: str) -> None:
        """Called on the watchdog's thread. Fails every job: callers need not wait for a step that may never return."""
        with self.lock:
            self.hang = message
            jobs = list(self.active)
        for job in jobs:
            job.fail(Stuck(f"{message}; try again later, or restart the process"))

    def _note_cancel(self, request: Request) -> None:
        with self.lock:
            self.active.cancel(request)
            self.uncontended.stop.value = 1
            self.lock.notify()

    def _note_end(self, job: Job) -> None:
        with self.lock:
            self._ended.append(job)
            self.lock.notify()

    def _run(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                if batch:
                    self._step(batch, self.uncontended if self._has_device(batch) else None)
        except BaseException as error:  # a bug of the engine's own: its callers must not wait for a thread that is gone
            log.exception("the engine broke")
            self._fail_all(error)

    def _next_batch(self) -> list[Job] | None:
        """Retires, admits and chooses, or sleeps until there is work. Empty: call again; None: closed, nothing is left."""
        self._retire_ended()
        with self.lock:
            doomed = [*self.active.doomed(), *self._admit()]
            batch = [] if doomed else self.scheduler.next()
            if not doomed and not batch:
                if self.closing:
                    return None
                self.lock.wait()
        for job, error in doomed:  # outside the lock: callbacks of these jobs may take locks of their own
            job.fail(error)
        return batch

    def _has_device(self, batch: Sequence[Job]) -> bool:
        """Whether no job but these waits. From here on, who comes or is cancelled says so by `uncontended.stop`."""
        with self.lock:
            self.uncontended.stop.value = int(self.closing)
            return len(batch) == len(self.scheduler) and not len(self.admission) and not self._ended

    def _preempt(self, spent: float, part: float) -> bool:
        """At a preemption point: runs the streaming jobs that are due, see `GapLimiter.due`. True if any ran."""
        jobs, served = self.preemption.jobs, False
        while True:
            self._retire_ended(but=jobs)
            with self.lock:
                doomed = [*self.active.doomed(), *self._admit()]
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
        """Moves jobs whose memory fits to the scheduler; yields one that does not although no running job could free any."""
        while (job := self.admission.next()) is not None:
            self.scheduler.add(job)
        if self.admission.first is not None and not len(self.scheduler):
            yield self.admission.first, Busy(self.admission.shortage(self.admission.first))

    def _step(self, batch: list[Job], alone: Uncontended | None = None) -> None:
        runner = batch[0].runner
        self._watchdog.begin(batch)
        if (took := self._executor.run(batch, self.scheduler.room, alone)) is not None:
            self._charge(took)
        if self._watchdog.end():
            log.warning("the step of %s came back", runner, extra={"request": batch[0].request.id})
            self.hang = ""

    def _charge(self, took: StepResult) -> None:
        batch, milliseconds = took.batch, took.milliseconds
        with self.lock:
            rounds = max(job.rounds for job in batch)
            parts = self.scheduler.charge(batch, milliseconds, rounds)
            for job, part in zip(batch, parts, strict=True):
                job.device_ms += part
                job.request.device_ms += part
                if job.units:
                    job.quanta += rounds
                    self.forecast.took(job, rounds)
                if job.waits:
                    self.scheduler.remove(job)
                    self.active.block(job)
            self.metrics.observe_quantum(batch[0].runner, batch, milliseconds, parts)
            for observer in self.observers:
                observer.quantum(batch, took.began, milliseconds, took.away)

    def _retire_ended(self, but: Sequence[Job] = ()) -> None:
        """`but`: jobs of an outer step that has not returned."""
        for _ in range(len(self._ended)):
            job = self._ended.popleft()
            if job in but:
                self._ended.append(job)
            else:
                self._retire(job)

    def _retire(self, job: Job) -> None:
        """An ended job gives back its runner's state, its memory and its place in every queue."""
        try:
            self.runners[job.runner].release(job)
        except BaseException:  # the job has ended and its caller was told: the engine serves on
            log.exception("runner %s failed to release a job", job.runner)
        with self.lock:
            self.scheduler.remove(job)
            self.admission.remove(job)
            self.active.remove(job)
            for other in self.active.unblock(job.runner):
                self.scheduler.add(other)
            self._record_end(job)

    def _record_end(self, job: Job) -> None:
        self.forecast.remove(job)
        if job.status == "done" and job.expected_quanta is not None:
            self.costs.observe_end(job.runner, job.expected_quanta, job.quanta)
        self.metrics.observe_end(job)
        for observer in self.observers:
            observer.ended(job)
        log.debug(
            "request %s: %s job %s after %d quanta and %.0f ms",
            job.request.id, job.runner, job.status, job.quanta, job.device_ms, extra={"request": job.request.id},
        )  # fmt: skip

    def _fail_all(self, error: BaseException) -> None:
        with self.lock:
            self.closing = True
            jobs = list(self.active)
        for job in jobs:
            closed = Closed(f"the engine broke: {type(error).__name__}: {error}; make a new Runtime")
            closed.__cause__ = error
            job.fail(closed)
