"""Steps that raise: one at a time here, and 10,000 jobs under a storm of them."""

import logging
import random
import threading
import time

import pytest
from fault_storm import Stormy, burst

from mmgen.engine.engine import Engine
from mmgen.engine.fault_isolation import apart, step
from mmgen.engine.job import Job
from mmgen.engine.memory.ledger import Ledger
from mmgen.engine.memory.oom_limits import OOMLimits
from mmgen.errors import TooLarge, out_of_memory

WAIT = 30.0


class OutOfMemoryError(RuntimeError):
    """As torch calls it."""


class Narrow:
    """Room for so many jobs a pass."""

    kind = "activations"

    def __init__(self, room: int) -> None:
        self.room, self.passes = room, list[int]()

    def key(self, job: Job) -> str:
        return "k"

    def reserve(self, job: Job) -> int:
        return 1

    def step(self, jobs: list[Job]) -> None:
        self.passes.append(len(jobs))
        if len(jobs) > self.room:
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")
        for job in jobs:
            job.state = (job.state or 0) + 1
            if job.state == job.payload:
                job.finish(job.state)

    def release(self, job: Job) -> None:
        pass


def test_what_counts_as_short_of_memory() -> None:
    assert out_of_memory(MemoryError()) and out_of_memory(OutOfMemoryError()) and not out_of_memory(RuntimeError())


def test_how_a_batch_is_tried_again() -> None:
    assert apart([1, 2, 3], MemoryError()) == [[1, 2], [3]]
    assert apart([1, 2, 3], ValueError()) == [[1], [2], [3]]


@pytest.mark.parametrize(("jobs", "room", "fitted"), [(8, 8, 8), (8, 3, 2), (5, 1, 1), (1, 0, 1)])
def test_the_batch_is_halved_until_it_fits(jobs: int, room: int, fitted: int) -> None:
    runner, batch = Narrow(room), [Job("narrow", 1) for _ in range(jobs)]
    assert step(runner.step, batch, lambda: False) == fitted
    assert {job.status for job in batch} == ({"done"} if room else {"failed"})


def test_room_is_made_once_before_anything_is_halved() -> None:
    runner, batch, asked = Narrow(1), [Job("narrow", 1) for _ in range(2)], []

    def make_room() -> bool:
        asked.append(True)
        runner.room = 2
        return True

    assert step(runner.step, batch, make_room) == 2
    assert runner.passes == [2, 2] and len(asked) == 1


def test_only_who_cannot_fit_fails_and_the_size_is_remembered(caplog: pytest.LogCaptureFixture) -> None:
    runner, freed = Narrow(2), list[bool]()
    with Engine({"narrow": runner}, free_memory=lambda: freed.append(True)) as engine:
        start = threading.Event()
        engine.submit(Job("call", lambda: start.wait(WAIT)))
        handles = [engine.submit(Job("narrow", 20)) for _ in range(8)]
        start.set()
        assert [handle.result(WAIT) for handle in handles] == [20] * 8
        assert runner.passes[:4] == [8, 4, 2, 2] and runner.passes.count(8) == 1, "it does not run into it again and again"
        assert engine.metrics.shortages["narrow"] == len(freed) > 0
        runner.room = 0
        with pytest.raises(TooLarge, match=r"narrow job does not fit into the device's memory \(CUDA out of memory.*2 GiB\)"):
            engine.submit(Job("narrow", 1)).result(WAIT)
        runner.room = 1
        assert engine.submit(Job("narrow", 1)).result(WAIT) == 1
        assert engine.metrics.errors == {("narrow", "OutOfMemoryError"): 1}
    assert "narrow ran out of memory with 8 jobs" in caplog.text


def test_a_size_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, batch = OOMLimits(), [Job("narrow", 1) for _ in range(4)]
    sizes.note(batch, 2)
    assert sizes.cut(batch) == batch[:2]
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert sizes.cut(batch) == batch and not sizes._most


def test_ten_thousand_jobs_in_a_storm() -> None:
    for name in ("mmgen.engine.engine", "mmgen.engine.fault_isolation"):
        logging.getLogger(name).disabled = True  # what is raised is told each time
    try:
        runner = Stormy(0)
        with Engine({"stormy": runner}, ledger=Ledger(100)) as engine:
            statuses = burst(engine, random.Random(0), 10_000)
            assert engine.submit(Job("call", lambda: 7)).result(WAIT) == 7, "the engine serves on"
    finally:
        for name in ("mmgen.engine.engine", "mmgen.engine.fault_isolation"):
            logging.getLogger(name).disabled = False
    assert set(statuses) == {"done", "failed", "cancelled"} and sum(statuses.values()) == 10_000
    assert min(statuses.values()) > 100
    assert runner.ends == 10_000 and not runner.held, "each gave back what it held, once"
    assert engine.ledger.held == 0 and not len(engine.scheduler)
    assert not engine._loop.active and not engine._loop.forecast._queues
