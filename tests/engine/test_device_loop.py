"""The device thread's loop, driven by hand: no thread is started."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mmgen.engine.device_loop import DeviceLoop
from mmgen.engine.job import Job, Request
from mmgen.engine.memory.ledger import Ledger
from mmgen.engine.memory.model_pool import ModelPool
from mmgen.engine.scheduling.cost_model import CostModel
from mmgen.engine.scheduling.fair import FairScheduler
from mmgen.engine.scheduling.gap_limiter import GapLimiter
from mmgen.engine.telemetry.metrics import Metrics
from mmgen.errors import Busy, Closed


class Recording:
    """Writes down who steps and who is released; between its two layers it calls `pause`."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self.name, self.seen = name, seen
        self.pause: Callable[[], None] = lambda: None

    def key(self, job: Job) -> Any:
        return 0

    def reserve(self, job: Job) -> int:
        return 0

    def step(self, jobs: Sequence[Job]) -> None:
        self.seen.append(f"{self.name} begins")
        self.pause()
        self.seen.append(f"{self.name} ends")
        for job in jobs:
            job.finish()

    def release(self, job: Job) -> None:
        self.seen.append(f"{self.name} released")


@pytest.fixture
def seen() -> list[str]:
    return []


@pytest.fixture
def loop(seen: list[str]) -> DeviceLoop:
    runners = {name: Recording(name, seen) for name in ("draw", "text")}
    costs = CostModel()
    scheduler = GapLimiter(FairScheduler(), costs, 1000.0)
    loop = DeviceLoop(runners, scheduler, ModelPool(Ledger(10)), costs, Metrics(), [], 600.0, lambda: None)
    loop._thread = object()  # type: ignore[assignment]  # started already, as far as `add` knows
    return loop


def add(loop: DeviceLoop, runner: str, nbytes: int = 0) -> Job:
    job = Job(runner, None, Request(priority="interactive" if runner == "text" else "normal"))
    job.key, job.submitted, job.streams, job.pauses = 0, 0.0, runner == "text", runner == "draw"
    with loop.lock:
        loop.add(job, nbytes, "latents")
    return job


def turn(loop: DeviceLoop) -> list[Job]:
    batch = loop._next_batch()
    assert batch is not None
    if batch:
        loop._step(batch)
    return batch


def test_a_quantum_is_charged_and_its_job_retired(loop: DeviceLoop, seen: list[str]) -> None:
    job = add(loop, "draw", 10)
    assert loop.admission.ledger.held == 0
    assert turn(loop) == [job] and loop.admission.ledger.held == 10
    assert job.quanta == 1 and job.device_ms > 0
    loop.closing = True
    assert loop._next_batch() is None, "nothing is left"
    assert seen == ["draw begins", "draw ends", "draw released"]
    assert loop.admission.ledger.held == 0 and not len(loop.active) and loop.metrics.jobs == {("draw", "done"): 1}


def test_a_preemption_point_runs_a_streaming_job_inside_the_step(loop: DeviceLoop, seen: list[str]) -> None:
    drawing: Any = loop.runners["draw"]

    def arrives_in_the_middle() -> None:
        if seen == ["draw begins"]:
            outer.finish()  # ended, but its step has not returned
            add(loop, "text")
        loop.preemption()

    drawing.pause, outer = arrives_in_the_middle, add(loop, "draw")
    turn(loop)
    inside = ["text begins", "text ends", "text released"]
    assert seen == ["draw begins", *inside, "draw ends"], "the outer job is not released in its own step"
    loop._retire_ended()
    assert seen[5:] == ["draw released"]


def test_a_batch_that_has_the_device_to_itself_is_told_so(loop: DeviceLoop) -> None:
    first = add(loop, "draw")
    assert loop._has_device([first]) and not loop.uncontended.stop.value
    second = add(loop, "text")
    assert loop.uncontended.stop.value and not loop._has_device([first]) and loop._has_device([first, second])
    assert not loop.uncontended.stop.value
    second.request.cancel()
    assert loop.uncontended.stop.value


def test_quanta_in_a_row_are_counted_and_learned_as_such(loop: DeviceLoop) -> None:
    job = add(loop, "draw")
    job.rounds = 4
    turn(loop)
    assert job.quanta == 4 and 4 * (loop.costs.predict(("draw", 0), 1) or 0) == pytest.approx(job.device_ms)


def test_what_never_fits_beside_nothing_is_refused(loop: DeviceLoop) -> None:
    loop.admission.ledger.reserve("weights", 5, "weights")
    job = add(loop, "draw", 8)
    assert turn(loop) == []
    assert isinstance(job.future.exception(0), Busy)


def test_its_own_bug_fails_every_job(loop: DeviceLoop) -> None:
    jobs = [add(loop, "draw") for _ in range(2)]
    loop.scheduler.next = lambda: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    loop._run()
    assert loop.closing
    for job in jobs:
        with pytest.raises(Closed, match="the engine broke: ZeroDivisionError: division by zero; make a new Runtime"):
            job.future.result(0)
