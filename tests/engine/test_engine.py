"""The engine with runners that only count: nothing is lost, run twice, or left reserved."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job, Request
from mmgen.engine.ledger import Ledger
from mmgen.errors import BadRequest, Cancelled, Clash, Closed, DeadlineExceeded, JobFailed, NotFound, TooLarge


class Counting:
    """A job's payload is (quanta, key, bytes, fails); its result is the number of quanta it got."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.gate = gate
        self.batches: list[int] = []
        self.released: list[Job] = []

    def key(self, job: Job) -> Any:
        return job.payload[1]

    def reserve(self, job: Job) -> int:
        return int(job.payload[2])

    def step(self, jobs: Sequence[Job]) -> None:
        if self.gate:
            assert self.gate.wait(10)
        self.batches.append(len(jobs))
        assert len({job.payload[1] for job in jobs}) == 1
        for job in jobs:
            assert job.ended is None, "stepped after its end"
            job.state = (job.state or 0) + 1
            job.emit(job.state)
            if job.payload[3] == "raise":
                raise RuntimeError("broken step")
            if job.payload[3] == "fail":
                job.fail(ValueError("bad job"))
            elif job.state == job.payload[0]:
                job.finish(job.state)

    def release(self, job: Job) -> None:
        self.released.append(job)


def job(quanta: int = 1, key: str = "a", nbytes: int = 0, fails: str = "", **request: Any) -> Job:
    return Job("count", (quanta, key, nbytes, fails), Request.new(**request))


@pytest.fixture
def runner() -> Counting:
    return Counting()


@pytest.fixture
def engine(runner: Counting) -> Iterator[Engine]:
    with Engine({"count": runner}) as engine:
        yield engine


@pytest.fixture
def gate(runner: Counting) -> Iterator[threading.Event]:
    """The device waits before each quantum until the gate opens."""
    runner.gate = threading.Event()
    yield runner.gate
    runner.gate.set()


def test_result_and_events(engine: Engine) -> None:
    handle = engine.submit(job(3))
    assert list(handle.events(timeout=5)) == [1, 2, 3]
    assert handle.result() == 3
    assert handle.status == "done"


def test_jobs_with_one_key_share_quanta_and_new_ones_join_between(engine: Engine, runner: Counting, gate: Any) -> None:
    first = engine.submit(job(3))
    rest = [engine.submit(job(2)) for _ in range(4)] + [engine.submit(job(1, key="b"))]
    gate.set()
    assert [handle.result(5) for handle in [first, *rest]] == [3, 2, 2, 2, 2, 1]
    assert len(runner.batches) <= 5


def test_a_failing_job_fails_alone(engine: Engine, gate: Any) -> None:
    handles = [engine.submit(job(2)), engine.submit(job(2, fails="fail")), engine.submit(job(2))]
    gate.set()
    assert handles[0].result(5) == handles[2].result(5) == 2
    with pytest.raises(JobFailed, match="count failed: ValueError: bad job") as error:
        handles[1].result()
    assert isinstance(error.value.__cause__, ValueError)
    with pytest.raises(JobFailed):
        list(handles[1].events())


def test_a_raising_step_fails_its_batch_and_the_engine_lives(engine: Engine) -> None:
    with pytest.raises(JobFailed, match="broken step"):
        engine.submit(job(fails="raise")).result(5)
    assert engine.submit(job()).result(5) == 1


def test_cancel_takes_effect_before_the_next_quantum(engine: Engine, runner: Counting, gate: Any) -> None:
    handle = engine.submit(job(10**9))
    other = engine.submit(job(2, key="b"))
    handle.cancel()
    gate.set()
    with pytest.raises(Cancelled, match=handle.job.request.id):
        handle.result(5)
    assert handle.status == "cancelled"
    assert other.result(5) == 2
    assert (handle.job.state or 0) <= 1


def test_one_cancel_ends_all_jobs_of_a_request(engine: Engine, gate: Any) -> None:
    request = Request.new()
    handles = [engine.submit(Job("count", (9, key, 0, ""), request)) for key in "abc"]
    request.cancel()
    gate.set()
    for handle in handles:
        with pytest.raises(Cancelled):
            handle.result(5)
    late = engine.submit(Job("count", (9, "d", 0, ""), request))
    with pytest.raises(Cancelled):
        late.result(5)


def test_deadline(engine: Engine) -> None:
    handle = engine.submit(job(10**9, timeout_s=0.05))
    with pytest.raises(DeadlineExceeded, match="passed its deadline"):
        handle.result(5)
    assert handle.job.ended and handle.job.ended - handle.job.submitted < 2


def test_deadline_of_a_job_that_waits_for_memory(runner: Counting) -> None:
    with Engine({"count": runner}, ledger=Ledger(10)) as engine:
        long = engine.submit(job(10**9, nbytes=10))
        with pytest.raises(DeadlineExceeded):
            engine.submit(job(1, nbytes=5, timeout_s=0.05)).result(5)
        long.cancel()


def test_too_large_is_refused_with_the_numbers(runner: Counting) -> None:
    with (
        Engine({"count": runner}, ledger=Ledger(1000)) as engine,
        pytest.raises(TooLarge, match=r"needs 1,001 bytes, the device's limit is 1,000"),
    ):
        engine.submit(job(nbytes=1001))


def test_memory_is_waited_for_in_order_and_given_back(runner: Counting, gate: Any) -> None:
    engine = Engine({"count": runner}, ledger=Ledger(10))
    handles = [engine.submit(job(2, nbytes=n)) for n in (6, 10, 3, 1)]
    gate.set()
    assert [handle.result(5) for handle in handles] == [2, 2, 2, 2]
    engine.close()
    starts = [handle.job.started for handle in handles]
    assert starts == sorted(starts)
    assert engine.ledger.held == 0
    assert len(runner.released) == 4


def test_unknown_runner(engine: Engine) -> None:
    with pytest.raises(NotFound, match='did you mean "count"'):
        engine.submit(Job("coutn", None))


def test_runner_name_clash(engine: Engine, runner: Counting) -> None:
    with pytest.raises(Clash):
        engine.add_runner("count", runner)


def test_close_drains(engine: Engine) -> None:
    handles = [engine.submit(job(5)) for _ in range(20)]
    engine.close()
    assert all(handle.result(0) == 5 for handle in handles)
    with pytest.raises(Closed):
        engine.submit(job())
    engine.close()


def test_close_cancels(engine: Engine) -> None:
    handles = [engine.submit(job(10**9)) for _ in range(3)]
    engine.close(drain=False, timeout=5)
    for handle in handles:
        with pytest.raises(Cancelled):
            handle.result(0)


def test_call_runs_on_the_device_thread(engine: Engine) -> None:
    assert engine.call(lambda: threading.current_thread().name) == "mmgen-device"
    with pytest.raises(BadRequest, match="no way"):
        engine.call(raising, BadRequest("no way"))


def raising(error: Exception) -> None:
    raise error


def test_waiting_on_the_device_thread_is_a_bug_and_says_so(engine: Engine) -> None:
    with pytest.raises(JobFailed, match="cannot submit on the device thread"):
        engine.call(lambda: engine.submit(job()))


def test_result_times_out_and_the_job_goes_on(engine: Engine, gate: Any) -> None:
    handle = engine.submit(job())
    with pytest.raises(TimeoutError):
        handle.result(0.01)
    gate.set()
    assert handle.result(5) == 1


def test_same_seed_same_numbers() -> None:
    assert Job("count", None, seed=7).rng.random() == Job("count", None, seed=7).rng.random()
    drawn = Job("count", None)
    assert Job("count", None, seed=drawn.seed).rng.random() == drawn.rng.random()


async def test_asyncio(engine: Engine) -> None:
    handle = engine.submit(job(3))
    assert [event async for event in handle.aevents()] == [1, 2, 3]
    assert await handle == 3
    results = await asyncio.gather(*(engine.submit(job(n)).aresult() for n in range(1, 30)))
    assert results == list(range(1, 30))


async def test_cancelling_the_task_cancels_the_request(engine: Engine) -> None:
    handle = engine.submit(job(10**9))
    task = asyncio.create_task(handle.aresult())
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(Cancelled):
        await asyncio.to_thread(handle.result, 5)


def test_many_threads(engine: Engine) -> None:
    results: list[int] = []

    def work(number: int) -> None:
        results.extend(engine.submit(job(n % 4 + 1, user=f"u{number}")).result(20) for n in range(50))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted([n % 4 + 1 for n in range(50)] * 8)


jobs = st.tuples(
    st.integers(1, 6),  # quanta
    st.sampled_from("ab"),
    st.integers(0, 8),  # bytes of 10
    st.sampled_from(["", "", "", "fail", "raise"]),
    st.sampled_from(["ann", "bob", "eve"]),
    st.sampled_from(["interactive", "normal", "batch"]),
    st.sampled_from([None, None, None, 0.001]),  # timeout
    st.booleans(),  # cancelled
)


@settings(max_examples=40, deadline=None)
@given(st.lists(jobs, max_size=25))
def test_every_job_ends_once_and_gives_everything_back(rows: list[tuple[Any, ...]]) -> None:
    runner = Counting()
    engine = Engine({"count": runner}, ledger=Ledger(10))
    handles = []
    for quanta, key, nbytes, fails, user, priority, timeout, cancelled in rows:
        handle = engine.submit(job(quanta, key, nbytes, fails, user=user, priority=priority, timeout_s=timeout))
        handles.append(handle)
        if cancelled:
            handle.cancel()
    engine.close(timeout=20)
    assert [handle.done() for handle in handles] == [True] * len(rows)
    assert sorted(map(id, runner.released)) == sorted(id(handle.job) for handle in handles)
    assert engine.ledger.held == 0 and len(engine.scheduler) == 0
    assert not engine._requests and not engine._bytes and not engine._inbox
    assert sum(engine.metrics.jobs.values()) == len(rows)
    for handle, (quanta, *_) in zip(handles, rows, strict=True):
        if handle.status == "done":
            assert handle.result() == quanta == handle.job.state


def test_idle_engine_uses_no_time(engine: Engine) -> None:
    engine.submit(job()).result(5)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1
