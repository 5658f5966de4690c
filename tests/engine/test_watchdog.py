import logging
import threading
import time

import pytest

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job
from mmgen.errors import Stuck

WAIT = 20.0


class Hanging:
    """Waits for its payload's gate; tells of itself every so often."""

    def __init__(self, tells: bool = False) -> None:
        self.tells = tells

    def key(self, job: Job) -> int:
        return 0

    def reserve(self, job: Job) -> int:
        return 5

    def step(self, jobs: list[Job]) -> None:
        while not jobs[0].payload.wait(0.02):
            if self.tells:
                jobs[0].emit("alive")
        for job in jobs:
            job.finish()

    def release(self, job: Job) -> None:
        pass


def test_a_step_that_hangs_is_told_and_nobody_waits_for_it(caplog: pytest.LogCaptureFixture) -> None:
    gate = threading.Event()
    engine = Engine({"hanging": Hanging()}, watchdog_s=0.1)
    with caplog.at_level(logging.WARNING, "mmgen.engine"):
        handle = engine.submit(Job("hanging", gate))
        while handle.status == "queued":
            time.sleep(0.001)
        other = engine.submit(Job("call", lambda: 1))
        for one in (handle, other):
            with pytest.raises(Stuck, match=r"a step of hanging hangs for \d+\.\d+ s, the limit is 0\.1 s; try again later"):
                one.result(WAIT)
        with pytest.raises(Stuck, match="restart the process"):
            engine.submit(Job("call", lambda: 1))
        gate.set()
        end = time.monotonic() + WAIT
        while engine._loop.hang:
            assert time.monotonic() < end
            time.sleep(0.005)
        assert engine.call(lambda: 2) == 2, "it came back, and serves on"
    engine.close(timeout=WAIT)
    assert engine.ledger.held == 0
    told = [record.getMessage() for record in caplog.records]
    assert sum("hangs for" in one for one in told) == 1 and f"requests {handle.job.request.id}" in told[0]
    assert told[-1] == "the step of hanging came back"


def test_a_step_that_tells_of_itself_does_not_hang() -> None:
    gate = threading.Event()
    with Engine({"hanging": Hanging(tells=True)}, watchdog_s=0.2) as engine:
        handle = engine.submit(Job("hanging", gate))
        time.sleep(0.6)
        assert not handle.done() and not engine._loop.hang
        gate.set()
        assert handle.result(WAIT) is None


def test_its_thread_ends_with_the_engine() -> None:
    with Engine({}, watchdog_s=0.05) as engine:
        assert engine.call(lambda: 1) == 1
        thread = engine._loop._watchdog._thread
        assert thread is not None and thread.is_alive()
    thread.join(WAIT)
    assert not thread.is_alive()
