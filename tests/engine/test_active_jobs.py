import time

from mmgen.engine.active_jobs import ActiveJobs
from mmgen.engine.job import Job, Request
from mmgen.errors import Cancelled, DeadlineExceeded


def job(request: Request | None = None, runner: str = "r") -> Job:
    made = Job(runner, None, request or Request())
    made.submitted = time.monotonic()
    return made


def test_a_request_is_here_as_long_as_one_of_its_jobs() -> None:
    roster, request = ActiveJobs(), Request()
    one, other = job(request), job(request)
    roster.add(one)
    roster.add(other)
    assert roster.requests() == [request] and set(roster) == {one, other}
    roster.remove(one)
    assert roster.requests() == [request] and list(roster) == [other]
    roster.remove(other)
    assert not roster.requests() and not list(roster)


def test_doomed_are_told_once() -> None:
    roster, cancelled, late = ActiveJobs(), Request(), Request(deadline=time.monotonic() - 1)
    jobs = [job(cancelled), job(cancelled), job(late), job()]
    for one in jobs:
        roster.add(one)
    roster.cancel(cancelled)
    found = dict(roster.doomed())
    assert {one for one, error in found.items() if isinstance(error, Cancelled)} == set(jobs[:2])
    assert [one for one, error in found.items() if isinstance(error, DeadlineExceeded)] == [jobs[2]]
    assert not list(roster.doomed())


def test_a_request_that_was_cancelled_before_it_came() -> None:
    roster, request = ActiveJobs(), Request()
    request.cancel()
    one = job(request)
    roster.add(one)
    assert [each for each, _ in roster.doomed()] == [one]


def test_who_waits_for_another_of_its_runner() -> None:
    roster, first, second, elsewhere = ActiveJobs(), job(), job(), job(runner="other")
    for one in (first, second, elsewhere):
        roster.add(one)
        one.waits = True
        roster.block(one)
    roster.remove(first)
    assert roster.unblock("r") == [second] and not second.waits and elsewhere.waits
    assert roster.unblock("r") == []
