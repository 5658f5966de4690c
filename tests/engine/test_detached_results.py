import threading
import time

import pytest

from mmgen.engine.detached_results import Parking
from mmgen.engine.engine import Engine
from mmgen.engine.job import Job, OnLeave, Request
from mmgen.errors import BadRequest, Cancelled, NotFound

WAIT = 20.0


@pytest.mark.parametrize(("on_leave", "status"), [("abort", "cancelled"), ("finish", "done"), ("park", "done")])
def test_what_becomes_of_a_request_that_is_left(on_leave: OnLeave, status: str) -> None:
    with Engine({}) as engine:
        gate = threading.Event()
        first = engine.submit(Job("call", lambda: gate.wait(WAIT)))
        handle = engine.submit(Job("call", lambda: 42, Request(on_leave=on_leave)))
        handle.leave()
        gate.set()
        first.result(WAIT)
        error = handle.job.future.exception(WAIT)
        assert handle.status == status and isinstance(error, Cancelled | None)
        while engine._roster:
            time.sleep(0.001)
        if on_leave == "park":
            (kept,) = engine.collect(handle.job.request.id)
            assert kept.result(0) == 42
        with pytest.raises(NotFound, match=f"nothing is kept for request {handle.job.request.id}; results are kept for 600 s"):
            engine.collect(handle.job.request.id)


def test_unknown_way_to_leave() -> None:
    with pytest.raises(BadRequest, match="on_leave 'stay' is unknown; use abort, finish or park"):
        Request(on_leave="stay")  # type: ignore[arg-type]


def test_places_are_few_and_for_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    parking = Parking(seconds=10, most=2)
    jobs = [Job("count", None) for _ in range(3)]
    for job in jobs:
        parking.keep(job)
    assert len(parking) == 2 and parking.take(jobs[1].request.id) == [jobs[1]]
    with pytest.raises(NotFound):
        parking.take(jobs[0].request.id)
    later = time.monotonic() + 11
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert len(parking) == 0


def test_all_jobs_of_a_request_have_one_place() -> None:
    parking, request = Parking(), Request()
    jobs = [Job("count", None, request) for _ in range(2)]
    for job in jobs:
        parking.keep(job)
    assert parking.take(request.id) == jobs
