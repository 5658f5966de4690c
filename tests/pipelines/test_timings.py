"""The stages of a call, and who is told of them."""

import pytest

from mmgen.pipelines import timings
from mmgen.pipelines.timings import Clock


def test_laps(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([1.0, 1.25, 2.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(moments))
    clock = Clock()
    clock.lap("load")
    clock.lap("write")
    assert clock.laps() == {"load": 250.0, "write": 750.0, "total": 1000.0}


def test_a_listener() -> None:
    told = list[tuple[int, str]]()

    class Listener:
        begun = 0

        def begin(self) -> int:
            self.begun += 1
            return self.begun

        def end(self, stage: int, name: str) -> None:
            told.append((stage, name))

    token = timings.listener.set(Listener())
    try:
        clock = Clock()
    finally:
        timings.listener.reset(token)
    clock.lap("load")
    clock.laps()
    assert told == [(1, "load"), (2, "")]
