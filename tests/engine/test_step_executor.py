import time
from collections.abc import Sequence
from typing import Any

from mmgen.engine.job import Job
from mmgen.engine.memory.ledger import Ledger
from mmgen.engine.memory.model_pool import ModelPool
from mmgen.engine.step_executor import StepExecutor
from mmgen.engine.telemetry.metrics import Metrics
from mmgen.engine.uncontended import Uncontended
from mmgen.errors import TooLarge


class Sleeper:
    """Bears `most` jobs at once."""

    room_ms: float | None = None
    uncontended: Uncontended | None = Uncontended()

    def __init__(self, most: int = 9) -> None:
        self.most = most

    def step(self, jobs: Sequence[Job]) -> None:
        if len(jobs) > self.most:
            raise MemoryError("too many")
        time.sleep(0.01)


def quanta(runner: Any, freed: list[int]) -> StepExecutor:
    return StepExecutor({"r": runner}, ModelPool(Ledger()), Metrics(lambda: None), lambda: freed.append(1))  # type: ignore[arg-type, return-value]


def test_a_step_is_measured_and_told_its_room() -> None:
    runner, jobs = Sleeper(), [Job("r", None), Job("r", None)]
    took = quanta(runner, []).run(jobs, 30.0)
    assert took is not None and took.batch == jobs and took.milliseconds >= 10
    assert runner.room_ms == 30.0 and runner.uncontended is None and all(job.status == "running" for job in jobs)


def test_what_did_not_fit_is_not_tried_again() -> None:
    freed: list[int] = []
    made, jobs = quanta(Sleeper(most=2), freed), [Job("r", None) for _ in range(4)]
    assert made.run(jobs, None) is not None and freed
    count = len(freed)
    took = made.run(jobs, None)
    assert took is not None and len(took.batch) <= 2 and len(freed) == count


def test_a_model_that_does_not_come_fails_its_jobs() -> None:
    made, job = quanta(Sleeper(), []), Job("r", None)

    def load(runner: str) -> None:
        raise TooLarge("it is larger than the device")

    made.models.load = load  # type: ignore[method-assign]
    assert made.run([job], None) is None
    assert job.status == "failed" and isinstance(job.future.exception(), TooLarge)
