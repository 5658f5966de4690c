"""Requests, jobs and handles without an engine: the test is the one who writes."""

import asyncio
import threading
import time
from contextlib import nullcontext
from typing import Any

import pytest

from mmgen.engine.engine import Engine
from mmgen.engine.job import Handle, Job, OnLeave, Request
from mmgen.errors import BadRequest, Cancelled, DeadlineExceeded, JobFailed

WAIT = 20.0


@pytest.fixture
def job() -> Job:
    return Job("count", None)


def later(act: Any) -> None:
    """In another thread, in a moment."""
    threading.Timer(0.02, act).start()


def test_requests_have_ids_of_their_own() -> None:
    assert Request().id != Request().id
    request = Request.new(user="ann", priority="batch", timeout_s=5)
    assert request.deadline is not None and 4 < request.deadline - time.monotonic() <= 5
    assert not request.late() and Request(deadline=time.monotonic() - 1).late()


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_bad_timeout(timeout: float) -> None:
    with pytest.raises(BadRequest, match=f"timeout is {timeout} s; it must be above 0"):
        Request.new(timeout_s=timeout)


def test_bad_priority() -> None:
    with pytest.raises(BadRequest, match="priority 'urgent' is unknown; use interactive, normal or batch"):
        Request(priority="urgent")  # type: ignore[arg-type]


def test_cancel_tells_each_listener(job: Job) -> None:
    told: list[Request] = []
    for _ in range(2):
        job.request.when_cancelled(told.append)
    Handle(job).cancel()
    assert told == [job.request] and job.request.cancelled


def test_same_seed_same_numbers() -> None:
    assert Job("count", None, seed=7).rng.random() == Job("count", None, seed=7).rng.random()
    drawn = Job("count", None)
    assert drawn.seed is not None
    assert Job("count", None, seed=drawn.seed).rng.random() == drawn.rng.random()


def test_the_first_end_counts(job: Job) -> None:
    ends: list[Job] = []
    job.when_ended = ends.append
    job.finish(1)
    job.finish(2)
    job.fail(ValueError("late"))
    job.emit("late")
    assert Handle(job).result(0) == 1 and job.status == "done" and ends == [job]
    assert job.log == []


def test_two_ends_at_once() -> None:
    for _ in range(50):
        job, ends = Job("count", None), []
        job.when_ended = ends.append
        barrier = threading.Barrier(2)

        def end(act: Any, argument: Any, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(WAIT)
            act(argument)

        threads = [threading.Thread(target=end, args=args) for args in ((job.finish, 1), (job.fail, ValueError()))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        assert ends == [job] and job.status in ("done", "failed")


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (Cancelled("stop"), "cancelled", "stop"),
        (DeadlineExceeded("late"), "cancelled", "late"),
        (BadRequest("steps is 0"), "failed", "steps is 0"),
        (ValueError("one\ntwo"), "failed", "count failed: ValueError: one"),
        (ValueError(), "failed", "count failed: ValueError: no reason given"),
    ],
)
def test_failing(job: Job, error: Exception, status: str, message: str) -> None:
    job.fail(error)
    with pytest.raises(Exception, match=f"^{message}$") as raised:
        Handle(job).result(0)
    assert job.status == status
    assert raised.value is error or (isinstance(raised.value, JobFailed) and raised.value.__cause__ is error)


def test_begin_after_the_end_changes_nothing(job: Job) -> None:
    job.fail(Cancelled("stop"))
    job.begin()
    assert job.status == "cancelled" and job.started is None


def test_result_times_out_and_the_job_goes_on(job: Job) -> None:
    with pytest.raises(TimeoutError, match=r"job of count is not done after 0.01 s"):
        Handle(job).result(0.01)
    later(lambda: job.finish(1))
    assert Handle(job).result(WAIT) == 1


def test_events_come_as_they_are_written(job: Job) -> None:
    events = Handle(job).events(timeout=WAIT)
    job.emit("a")
    assert next(events) == "a"
    later(lambda: job.emit("b"))
    assert next(events) == "b"
    job.emit("c")
    later(job.finish)
    assert list(events) == ["c"]
    assert list(Handle(job).events()) == ["a", "b", "c"], "who comes late reads from the start"


def test_events_end_with_the_error(job: Job) -> None:
    job.emit("a")
    job.fail(ValueError("bad"))
    events = Handle(job).events(timeout=WAIT)
    assert next(events) == "a"
    with pytest.raises(JobFailed, match="bad"):
        next(events)


def test_events_time_out(job: Job) -> None:
    with pytest.raises(TimeoutError, match=r"no event from count in 0.01 s"):
        next(Handle(job).events(timeout=0.01))


def test_at_a_pace_events_come_together_and_the_first_at_once() -> None:
    pace, job = 0.4, Job("count", None, Request(pace=lambda: 0.4))
    events, began = Handle(job).events(timeout=WAIT), time.monotonic()
    job.emit("a")
    assert next(events) == "a" and time.monotonic() - began < pace / 2
    time.sleep(pace - time.monotonic() % pace + 0.05)  # next looks are at multiples of the pace
    job.emit("b")
    assert next(events) == "b", "none was told for so long: it does not wait"
    assert time.monotonic() % pace < pace / 2
    job.emit("c")
    later(lambda: job.emit("d"))
    assert next(events) == "c" and time.monotonic() % pace < 0.05 + pace / 4, "it waited for the next multiple"
    assert job.log[-1] == "d"
    later(job.finish)
    assert list(events) == ["d"]


def test_at_a_pace_handles_are_told_at_one_moment() -> None:
    jobs = [Job("count", None, Request(pace=lambda: 0.3)) for _ in range(3)]
    told: list[float] = []

    def read(job: Job) -> None:
        events = Handle(job).events(timeout=WAIT)
        assert [next(events), next(events)] == ["a", "b"]
        told.append(time.monotonic())

    for job in jobs:
        job.emit("a")
    threads = [threading.Thread(target=read, args=(job,)) for job in jobs]
    time.sleep(0.3 - time.monotonic() % 0.3 + 0.02)
    for job, thread in zip(jobs, threads, strict=True):
        thread.start()
        time.sleep(0.05)
        job.emit("b")
    for thread in threads:
        thread.join(WAIT)
    assert len(told) == 3 and max(told) - min(told) < 0.05


@pytest.mark.parametrize("error", [None, ValueError("bad")])
def test_at_a_pace_the_end_comes_at_once_behind_what_was_told(error: Exception | None) -> None:
    job = Job("count", None, Request(pace=lambda: 3600.0))
    events, seen = Handle(job).events(timeout=WAIT), []
    job.emit("a")
    assert next(events) == "a"

    def end() -> None:
        job.emit("b")
        job.emit("c")
        if error is None:
            job.finish()
        else:
            job.fail(error)

    later(end)
    began = time.monotonic()
    with nullcontext() if error is None else pytest.raises(JobFailed, match="bad"):
        for event in events:
            seen.append(event)
    assert seen == ["b", "c"] and time.monotonic() - began < WAIT


def test_where_it_would_wait_for_itself_it_says_so(job: Job) -> None:
    def refuse() -> None:
        raise RuntimeError("not here")

    handle = Handle(job, refuse)
    for act in (handle.result, lambda: next(handle.events())):
        with pytest.raises(RuntimeError, match="not here"):
            act()


async def test_await(job: Job) -> None:
    later(lambda: job.finish(3))
    assert await asyncio.wait_for(Handle(job).aresult(), WAIT) == 3
    assert await Handle(job) == 3


async def test_events_in_asyncio(job: Job) -> None:
    def write() -> None:
        for number in range(1000):
            job.emit(number)
        job.finish()

    later(write)
    async with asyncio.timeout(WAIT):
        assert [event async for event in Handle(job).aevents()] == list(range(1000))
        assert [event async for event in Handle(job).aevents()] == list(range(1000))
    assert not job.listeners


async def test_errors_in_asyncio(job: Job) -> None:
    later(lambda: job.fail(ValueError("bad")))
    async with asyncio.timeout(WAIT):
        with pytest.raises(JobFailed, match="bad"):
            await Handle(job)
        with pytest.raises(JobFailed, match="bad"):
            _ = [event async for event in Handle(job).aevents()]


@pytest.mark.parametrize("read", ["aresult", "aevents"])
async def test_cancelling_the_task_cancels_the_request(job: Job, read: str) -> None:
    async def wait() -> None:
        if read == "aresult":
            await Handle(job).aresult()
        async for _ in Handle(job).aevents():
            pass

    task = asyncio.create_task(wait())
    await asyncio.sleep(0.02)
    assert not job.request.cancelled
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert job.request.cancelled and not job.listeners


def test_a_loop_that_was_closed_does_not_trouble_the_writer(job: Job) -> None:
    async def read_one() -> Any:
        return await anext(events)

    events = Handle(job).aevents()
    loop = asyncio.new_event_loop()
    job.emit("a")
    assert loop.run_until_complete(read_one()) == "a"
    loop.close()
    job.emit("b")
    job.finish(1)
    assert Handle(job).result(0) == 1


@pytest.mark.parametrize(("on_leave", "status"), [("abort", "cancelled"), ("finish", "done")])
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
        if on_leave == "finish":
            assert handle.result(0) == 42, "whoever kept the handle reads it later"


def test_unknown_way_to_leave() -> None:
    with pytest.raises(BadRequest, match="on_leave 'stay' is unknown; use abort or finish"):
        Request(on_leave="stay")  # type: ignore[arg-type]
