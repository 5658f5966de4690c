"""One step of a runner for a batch: loads its model, cuts the batch to what fits, retries if memory is short."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mmgen.engine import fault_isolation
from mmgen.engine.job import Job
from mmgen.engine.memory.model_pool import ModelPool
from mmgen.engine.memory.oom_limits import OOMLimits
from mmgen.engine.preemption import PreemptionPoints
from mmgen.engine.telemetry.metrics import Metrics
from mmgen.engine.uncontended import Uncontended
from mmgen.interfaces import Runner


@dataclass(frozen=True)
class StepResult:
    """What a step took."""

    batch: list[Job]
    began: float  # time.monotonic()
    milliseconds: float  # of its own, without `away`
    away: float = 0.0  # milliseconds of other jobs at its preemption points


class StepExecutor:
    """Runs steps, on the device thread alone. Re-entered at preemption points."""

    def __init__(
        self,
        runners: Mapping[str, Runner],
        models: ModelPool,
        metrics: Metrics,
        free_memory: Callable[[], None],
        preemption: PreemptionPoints | None = None,
    ) -> None:
        self.runners, self.models, self.metrics, self.free_memory = runners, models, metrics, free_memory
        self.preemption = preemption
        self._limits = OOMLimits()

    def run(self, batch: list[Job], room_ms: float | None, alone: Uncontended | None = None) -> StepResult | None:
        """None if the model could not be loaded: the jobs have failed.

        Args:
            room_ms: milliseconds that the step may take.
            alone: nobody else waits.
        """
        name = batch[0].runner
        if not self._load_model(name, batch):
            return None
        runner, batch = self.runners[name], self._limits.cut(batch)
        moment, began = time.monotonic(), time.perf_counter()
        for job in batch:
            if job.started is None:
                job.begin()
                self.metrics.observe_start(job)
        if hasattr(runner, "room_ms"):
            runner.room_ms = room_ms
        if hasattr(runner, "uncontended"):
            runner.uncontended = alone
        preemption = self.preemption if batch[0].pauses else None
        if preemption is not None and preemption.serving:  # the points are the outer step's
            preemption = None
        if preemption is not None:
            preemption.begin(batch)
        fitted = fault_isolation.step(runner.step, batch, lambda: self._make_room(name))
        self._limits.note(batch, fitted)
        away = 0.0 if preemption is None else preemption.end()
        return StepResult(batch, moment, 1000 * (time.perf_counter() - began) - away, away)

    def _load_model(self, runner: str, batch: Sequence[Job]) -> bool:
        try:
            self.models.load(runner)
        except BaseException as error:
            for job in batch:
                job.fail(error)
            return False
        return True

    def _make_room(self, runner: str) -> bool:
        self.metrics.observe_shortage(runner)
        self.free_memory()
        return self.models.clear(but=runner)
