import time

from mmgen.engine.active_jobs import ActiveJobs
from mmgen.engine.job import Job, Request
from mmgen.errors import Cancelled, DeadlineExceeded


def job(request: Request | None = None, runner: str = "r") -> Job:
    made = Job(runner, None, request or Request())
    made.submitted = time.monotonic()
    return made


def test_a_request_is_here_as_long_as_one_of_its_jobs() -> None:
    active, request = ActiveJobs(), Request()
    one, other = job(request), job(request)
    active.add(one)
    active.add(other)
    assert active.requests() == [request] and set(active) == {one, other}
    active.remove(one)
    assert active.requests() == [request] and list(active) == [other]
    active.remove(other)
    assert not active.requests() and not list(active)


def test_doomed_are_told_once() -> None:
    active, cancelled, late = ActiveJobs(), Request(), Request(deadline=time.monotonic() - 1)
    jobs = [job(cancelled), job(cancelled), job(late), job()]
    for one in jobs:
        active.add(one)
    active.cancel(cancelled)
    found = dict(active.doomed())
    assert {one for one, error in found.items() if isinstance(error, Cancelled)} == set(jobs[:2])
    assert [one for one, error in found.items() if isinstance(error, DeadlineExceeded)] == [jobs[2]]
    assert not list(active.doomed())


def test_a_request_that_was_cancelled_before_it_came() -> None:
    active, request = ActiveJobs(), Request()
    request.cancel()
    one = job(request)
    active.add(one)
    assert [each for each, _ in active.doomed()] == [one]


def test_who_waits_for_another_of_its_runner() -> None:
    active, first, second, elsewhere = ActiveJobs(), job(), job(), job(runner="other")
    for one in (first, second, elsewhere):
        active.add(one)
        one.waits = True
        active.block(one)
    active.remove(first)
    assert active.unblock("r") == [second] and not second.waits and elsewhere.waits
    assert active.unblock("r") == []
