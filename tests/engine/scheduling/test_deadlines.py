import gc
import time

import pytest

from mmgen.engine.job import Job, Request
from mmgen.engine.scheduling.deadlines import Deadlines


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def job(deadline: float | None) -> Job:
    return Job("count", None, Request(deadline=deadline))


def test_each_is_late_once_and_in_order(clock: list[float]) -> None:
    deadlines, jobs = Deadlines(), [job(110.0), job(105.0), job(None), job(120.0)]
    for one in jobs:
        deadlines.add(one)
    assert list(deadlines.late()) == []
    clock[0] = 111.0
    assert list(deadlines.late()) == [jobs[1], jobs[0]]
    assert list(deadlines.late()) == []
    clock[0] = 121.0
    assert list(deadlines.late()) == [jobs[3]]


def test_who_ended_in_time_is_not_late_and_not_kept(clock: list[float]) -> None:
    deadlines, ended, gone = Deadlines(), job(105.0), job(106.0)
    for one in (ended, gone):
        deadlines.add(one)
    ended.finish()
    del gone, one
    gc.collect()
    assert list(deadlines.late()) == []
    assert not deadlines._heap, "both were dropped before their time"
    clock[0] = 107.0
    assert list(deadlines.late()) == []
