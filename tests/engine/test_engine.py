"""The engine with runners that only count: nothing is lost, run twice, or left reserved."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mmgen.engine.engine import Engine
from mmgen.engine.job import Handle, Job, Request
from mmgen.engine.memory.ledger import Ledger
from mmgen.engine.scheduling.cost_model import Estimate
from mmgen.engine.scheduling.fair import FairScheduler
from mmgen.engine.telemetry.prometheus import exposition
from mmgen.errors import (
    BadRequest,
    Busy,
    Cancelled,
    Clash,
    Closed,
    DeadlineExceeded,
    JobFailed,
    MmgenError,
    NotFound,
    TooLarge,
)

WAIT = 20.0  # seconds: nothing here takes long, nothing may hang
ENDLESS = 10**9  # quanta


class Counting:
    """A job's payload is (quanta, key, bytes, fails); its result is the number of quanta it got."""

    def __init__(self) -> None:
        self.gate: threading.Event | None = None
        self.batches: list[list[Job]] = []
        self.released: list[Job] = []
        self.first_quantum = threading.Event()
        self.stepped_late = False

    def key(self, job: Job) -> Any:
        return job.payload[1]

    def reserve(self, job: Job) -> int:
        return int(job.payload[2])

    def step(self, jobs: Sequence[Job]) -> None:
        self.first_quantum.set()
        if self.gate:
            assert self.gate.wait(WAIT)
        self.batches.append(list(jobs))
        assert len({job.payload[1] for job in jobs}) == 1
        for job in jobs:
            self.stepped_late |= job.ended is not None
            fails = job.payload[3]
            job.state = (job.state or 0) + 1
            job.emit(job.state)
            if isinstance(fails, BaseException):
                raise fails
            if fails == "fail":
                job.fail(ValueError("bad job"))
            elif job.state == job.payload[0]:
                job.finish(job.state)

    def release(self, job: Job) -> None:
        self.released.append(job)
        if job.payload[3] == "release":
            raise RuntimeError("cannot release")


def job(quanta: int = 1, key: Any = "a", nbytes: int = 0, fails: Any = "", **request: Any) -> Job:
    return Job("count", (quanta, key, nbytes, fails), Request.new(**request))


def error_of(handle: Handle) -> MmgenError:
    with pytest.raises(MmgenError) as error:
        handle.result(WAIT)
    return error.value


def until(condition: Any) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


@pytest.fixture
def runner() -> Counting:
    return Counting()


@pytest.fixture
def engine(runner: Counting) -> Iterator[Engine]:
    """A device of ten bytes."""
    engine = Engine({"count": runner}, ledger=Ledger(10))
    yield engine
    engine.close(drain=False, timeout=WAIT)
    assert not engine._loop.alive
    assert engine.ledger.held == 0, "all is given back, whatever happened"
    assert not runner.stepped_late


@pytest.fixture
def gate(runner: Counting) -> Iterator[threading.Event]:
    """The device waits before each quantum until the gate opens."""
    runner.gate = threading.Event()
    yield runner.gate
    runner.gate.set()


def test_a_job_runs_to_its_end(engine: Engine, runner: Counting) -> None:
    handle = engine.submit(one := job(3))
    assert handle.result(WAIT) == 3 and handle.status == "done"
    assert [len(batch) for batch in runner.batches] == [1, 1, 1]
    until(lambda: runner.released == [one])
    assert one.submitted is not None and one.started is not None and one.ended is not None
    assert one.submitted <= one.started <= one.ended and one.device_ms > 0


def test_jobs_with_one_key_share_quanta_and_new_ones_join_between(engine: Engine, runner: Counting, gate: Any) -> None:
    first = engine.submit(job(3))
    assert runner.first_quantum.wait(WAIT)
    rest = [engine.submit(job(2)) for _ in range(4)] + [engine.submit(job(1, key="b"))]
    gate.set()
    assert [handle.result(WAIT) for handle in [first, *rest]] == [3, 2, 2, 2, 2, 1]
    assert sorted(len(batch) for batch in runner.batches) == [1, 1, 5, 5]


def test_runners_take_turns() -> None:
    order: list[str] = []

    class Named(Counting):
        def step(self, jobs: Sequence[Job]) -> None:
            order.append(jobs[0].runner)
            super().step(jobs)

    with Engine({"text": Named(), "denoise": Named()}) as engine:
        start, payload = threading.Event(), (20, "a", 0, "")
        engine.submit(Job("call", lambda: start.wait(WAIT)))
        handles = [engine.submit(Job(name, payload)) for name in ("denoise", "text")]
        start.set()
        assert [handle.result(WAIT) for handle in handles] == [20, 20]
    assert order == ["denoise", "text"] * 20


def test_users_share_measured_milliseconds() -> None:
    """Ann's quanta are four times as long as Bob's: he gets more of them, and as much time."""
    quanta: list[float] = []

    class Sleeping(Counting):
        def step(self, jobs: Sequence[Job]) -> None:
            began = time.perf_counter()
            time.sleep(0.004 if jobs[0].payload[1] == "slow" else 0.001)
            super().step(jobs)
            quanta.append(1000 * (time.perf_counter() - began))

    with Engine({"count": Sleeping()}) as engine:
        handles = [engine.submit(job(ENDLESS, key=key, user=user)) for user, key in (("ann", "slow"), ("bob", "fast"))]
        until(lambda: sum(handle.job.device_ms for handle in handles) > 300)
        spent = engine.stats()["device_ms"]
        for handle in handles:
            handle.cancel()
        assert [type(error_of(handle)) for handle in handles] == [Cancelled, Cancelled]
        until(lambda: engine.stats()["jobs"] == {"count": {"cancelled": 2}})
        assert engine.stats()["device_ms"] == {h.job.request.user: pytest.approx(h.job.device_ms) for h in handles}
    assert spent["ann"] + spent["bob"] > 300
    assert abs(spent["ann"] - spent["bob"]) < 2 * max(quanta) + 1


def test_a_failing_job_fails_alone(engine: Engine, gate: Any) -> None:
    handles = [engine.submit(job(2)), engine.submit(job(2, fails="fail")), engine.submit(job(2))]
    gate.set()
    assert handles[0].result(WAIT) == handles[2].result(WAIT) == 2
    error = error_of(handles[1])
    assert isinstance(error, JobFailed) and str(error) == "count failed: ValueError: bad job"
    assert isinstance(error.__cause__, ValueError)


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (RuntimeError("broken\nstep"), "count failed: RuntimeError: broken"),
        (MemoryError(), "this count job does not fit into the device's memory (no reason given); ask for less at once"),
        (KeyboardInterrupt(), "count failed: KeyboardInterrupt: no reason given"),
        (SystemExit(3), "count failed: SystemExit: 3"),
        (BaseException("odd"), "count failed: BaseException: odd"),
        (BadRequest("steps is 0; use 1 or more"), "steps is 0; use 1 or more"),
    ],
)
def test_a_raising_step_fails_its_batch_and_the_engine_lives(
    engine: Engine, runner: Counting, raised: BaseException, message: str
) -> None:
    handle = engine.submit(job(nbytes=10, fails=raised))
    error = error_of(handle)
    assert str(error) == message and handle.status == "failed"
    assert error is raised or error.__cause__ is raised
    assert engine.submit(job(nbytes=10)).result(WAIT) == 1, "the bytes came back"


def test_a_failing_release_is_logged_and_the_bytes_come_back(
    engine: Engine, runner: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="mmgen.engine"):
        assert engine.submit(job(nbytes=10, fails="release")).result(WAIT) == 1
        assert engine.submit(job(nbytes=10)).result(WAIT) == 1
    assert "runner count failed to release a job" in caplog.text and "cannot release" in caplog.text


def test_cancel_takes_effect_before_the_next_quantum(engine: Engine, runner: Counting, gate: Any) -> None:
    handle = engine.submit(job(ENDLESS))
    assert runner.first_quantum.wait(WAIT)
    other = engine.submit(job(2, key="b"))
    handle.cancel()
    assert not handle.done(), "the quantum is under way"
    gate.set()
    assert str(error_of(handle)) == f"request {handle.job.request.id} was cancelled"
    assert handle.status == "cancelled" and handle.job.state == 1
    assert other.result(WAIT) == 2


def test_one_cancel_ends_all_jobs_of_a_request(engine: Engine, runner: Counting, gate: Any) -> None:
    request = Request.new()
    handles = [engine.submit(Job("count", (ENDLESS, key, 0, ""), request)) for key in "abc"]
    request.cancel()
    request.cancel()
    gate.set()
    assert [type(error_of(handle)) for handle in handles] == [Cancelled] * 3
    until(lambda: len(runner.released) == 3)


def test_what_is_submitted_to_a_cancelled_request_never_runs(engine: Engine) -> None:
    request = Request.new()
    request.cancel()
    handle = engine.submit(Job("count", (ENDLESS, "a", 0, ""), request))
    assert isinstance(error_of(handle), Cancelled) and handle.job.state is None


def test_cancelling_what_is_done_changes_nothing(engine: Engine) -> None:
    handle = engine.submit(job())
    assert handle.result(WAIT) == 1
    handle.cancel()
    assert engine.submit(job()).result(WAIT) == 1
    assert handle.status == "done"


def test_deadline(engine: Engine) -> None:
    handle = engine.submit(job(ENDLESS, timeout_s=0.05))
    error = error_of(handle)
    assert isinstance(error, DeadlineExceeded) and "passed its deadline of 0.0" in str(error)
    assert handle.status == "cancelled" and handle.job.request.deadline is not None
    assert handle.job.ended is not None and 0 < handle.job.ended - handle.job.request.deadline < 5


def test_deadline_of_a_job_that_never_gets_a_turn(engine: Engine, runner: Counting, gate: Any) -> None:
    handle = engine.submit(job(ENDLESS, key="a"))
    assert runner.first_quantum.wait(WAIT)
    late = engine.submit(job(1, key="b", timeout_s=0.001))
    time.sleep(0.01)
    gate.set()
    assert isinstance(error_of(late), DeadlineExceeded) and late.job.state is None
    handle.cancel()


@pytest.mark.parametrize("end", ["deadline", "cancel"])
def test_the_end_of_a_job_that_waits_for_memory(engine: Engine, runner: Counting, end: str) -> None:
    """Neither the first in the line nor the one behind it leaves anything behind."""
    long = engine.submit(job(ENDLESS, nbytes=10))
    assert runner.first_quantum.wait(WAIT)
    waiting = [engine.submit(job(1, nbytes=5, timeout_s=0.05 if end == "deadline" else None)) for _ in range(2)]
    if end == "cancel":
        for handle in waiting:
            handle.cancel()
    kind = DeadlineExceeded if end == "deadline" else Cancelled
    assert [type(error_of(handle)) for handle in waiting] == [kind, kind]
    assert [handle.job.state for handle in waiting] == [None, None]
    until(lambda: len(runner.released) == 2)
    assert not len(engine._loop.admission) and engine.ledger.held == 10
    after = engine.submit(job(1, nbytes=10))
    long.cancel()
    assert after.result(WAIT) == 1


def test_too_large_is_refused_with_the_numbers(engine: Engine, runner: Counting) -> None:
    with pytest.raises(TooLarge, match=r"this count job needs 1,001 bytes, the device's limit is 10; ask for less at once"):
        engine.submit(job(nbytes=1001))
    assert engine.stats()["queued"] == 0 and not runner.released


def test_memory_that_nobody_at_work_could_free_is_refused(engine: Engine) -> None:
    assert engine.ledger.reserve("weights", 8, "weights")
    error = error_of(engine.submit(job(nbytes=5)))
    assert isinstance(error, Busy) and str(error) == "this count job needs 5 bytes, 2 are free; try again later"
    engine.ledger.release("weights")
    assert engine.submit(job(nbytes=5)).result(WAIT) == 1


def test_memory_is_waited_for_in_order_and_given_back(engine: Engine, runner: Counting, gate: Any) -> None:
    engine.submit(job(key="first"))
    assert runner.first_quantum.wait(WAIT)
    handles = [engine.submit(job(2, nbytes=n)) for n in (6, 10, 3, 1)]
    gate.set()
    assert [handle.result(WAIT) for handle in handles] == [2, 2, 2, 2]
    starts = [handle.job.started or 0.0 for handle in handles]
    assert starts == sorted(starts), "a small job does not slip past a large one that waits"
    until(lambda: engine.ledger.held == 0)


def test_unknown_runner(engine: Engine) -> None:
    with pytest.raises(NotFound, match=r'there is no runner "coutn" \(did you mean "count"\?\)'):
        engine.submit(Job("coutn", None))


def test_runner_name_clash(engine: Engine, runner: Counting) -> None:
    with pytest.raises(Clash, match='already a runner "count"'):
        engine.add_runner("count", runner)
    with pytest.raises(Clash, match='already a runner "call"'):
        Engine({"call": runner})


def test_a_runner_can_be_added_at_work(engine: Engine) -> None:
    handle = engine.submit(job(ENDLESS))
    engine.add_runner("other", Counting())
    assert engine.submit(Job("other", (2, "a", 0, ""))).result(WAIT) == 2
    handle.cancel()


@pytest.mark.parametrize(("bad", "error"), [(job(key=["a"]), TypeError), (job(nbytes=-1), AssertionError)])
def test_a_bad_runner_meets_its_caller_and_not_the_device_thread(engine: Engine, bad: Job, error: type[Exception]) -> None:
    with pytest.raises(error):
        engine.submit(bad)
    assert [engine.submit(job()).result(WAIT) for _ in range(3)] == [1, 1, 1]
    assert engine.stats()["queued"] == engine.stats()["running"] == 0


def test_a_job_is_submitted_once(engine: Engine) -> None:
    handle = engine.submit(job())
    assert handle.result(WAIT) == 1
    with pytest.raises(RuntimeError, match="a job is submitted once"):
        engine.submit(handle.job)
    handle = engine.submit(job(ENDLESS))
    with pytest.raises(RuntimeError, match="a job is submitted once"):
        engine.submit(handle.job)
    handle.cancel()


def test_close_drains(engine: Engine) -> None:
    handles = [engine.submit(job(5, nbytes=4)) for _ in range(20)]
    engine.close(timeout=WAIT)
    assert all(handle.result(0) == 5 for handle in handles)
    with pytest.raises(Closed, match="the engine is closed; make a new Runtime"):
        engine.submit(job())
    engine.close(timeout=WAIT)


def test_close_cancels_what_runs_and_what_waits(engine: Engine, runner: Counting) -> None:
    handles = [engine.submit(job(ENDLESS, nbytes=6)) for _ in range(3)]
    assert runner.first_quantum.wait(WAIT)
    engine.close(drain=False, timeout=WAIT)
    for handle in handles:
        with pytest.raises(Cancelled):
            handle.result(0)
    assert len(runner.released) == 3


def test_close_returns_after_its_timeout(engine: Engine, runner: Counting, gate: Any) -> None:
    handle = engine.submit(job())
    assert runner.first_quantum.wait(WAIT)
    engine.close(timeout=0.01)
    assert not handle.done()
    gate.set()
    assert handle.result(WAIT) == 1


def test_close_without_any_work(engine: Engine) -> None:
    engine.close(timeout=0)
    with pytest.raises(Closed):
        engine.submit(job())


def test_leaving_the_context_drains_or_after_an_error_cancels(runner: Counting) -> None:
    with Engine({"count": runner}) as engine:
        handle = engine.submit(job(5))
    assert handle.result(0) == 5
    with pytest.raises(ZeroDivisionError), Engine({"count": runner}) as engine:
        handle = engine.submit(job(ENDLESS))
        _ = 1 / 0
    with pytest.raises(Cancelled):
        handle.result(0)


def test_close_at_exit() -> None:
    """A process with work under way ends at once, and with exit code 0."""
    program = """
import atexit, time
from mmgen.engine.scheduling.cost_model import Estimate
from mmgen.engine.engine import Engine
from mmgen.engine.scheduling.fair import FairScheduler
from mmgen.engine.job import Job
class Endless:
    def key(self, job): return 0
    def reserve(self, job): return 0
    def step(self, jobs): time.sleep(0.001)
    def release(self, job): print("released", flush=True)
engine = Engine({"endless": Endless()})
atexit.register(engine.close, drain=False)
engine.submit(Job("endless", None))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "released\n", "")


def test_submit_against_close() -> None:
    """Every job that was taken ends, every other one is refused; no caller is left waiting."""
    for drain in (True, False) * 10:
        engine, ends = Engine({"count": Counting()}), []

        def work(engine: Engine, ends: list[str]) -> None:
            try:
                while True:
                    engine.submit(job(2)).result(WAIT)
            except (Closed, Cancelled) as error:
                ends.append(type(error).__name__)

        threads = [threading.Thread(target=work, args=(engine, ends)) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.005)
        engine.close(drain=drain, timeout=WAIT)
        for thread in threads:
            thread.join(WAIT)
        assert len(ends) == 4 and (not drain or set(ends) == {"Closed"})


def test_call_runs_on_the_device_thread(engine: Engine) -> None:
    assert engine.call(lambda: threading.current_thread().name) == "mmgen-device"
    assert engine.call(divmod, 7, 2) == (3, 1)
    with pytest.raises(BadRequest, match="no way"):
        engine.call(raising, BadRequest("no way"))


def raising(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("what", ["submit", "wait", "close"])
def test_waiting_on_the_device_thread_is_a_bug_and_says_so(engine: Engine, what: str) -> None:
    other = engine.submit(job())
    acts = {"submit": lambda: engine.submit(job()), "wait": other.result, "close": engine.close}
    with pytest.raises(JobFailed, match=f"cannot {what} on the device thread"):
        engine.call(acts[what])
    assert other.result(WAIT) == 1


def test_a_runner_may_cancel_its_own_request(engine: Engine) -> None:
    handle = engine.submit(job(ENDLESS))
    engine.call(handle.cancel)
    assert isinstance(error_of(handle), Cancelled)


def test_a_callback_may_take_locks_of_its_own(engine: Engine) -> None:
    """Ends are told outside the engine's lock, so a caller who holds his own lock and submits cannot deadlock."""
    lock, told = threading.Lock(), threading.Event()

    def callback(_: object) -> None:
        with lock:
            told.set()

    handle = engine.submit(job(ENDLESS))
    handle.job.future.add_done_callback(callback)
    with lock:
        handle.cancel()
        until(handle.done)
        engine.submit(job())
    assert told.wait(WAIT)


def test_a_broken_scheduler_leaves_nobody_waiting(runner: Counting, gate: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FairScheduler):
        def charge(self, jobs: Sequence[Job], cost: float) -> list[float]:
            raise IndexError("our own bug")

    engine = Engine({"count": runner}, scheduler=Broken())
    handles = [engine.submit(job(ENDLESS, key=key)) for key in "ab"]
    gate.set()
    assert [str(error_of(handle)) for handle in handles] == [
        "the engine broke: IndexError: our own bug; make a new Runtime"
    ] * 2
    with pytest.raises(Closed):
        engine.submit(job())
    engine.close(timeout=WAIT)
    assert "the engine broke" in caplog.text


def test_many_threads(engine: Engine) -> None:
    results: list[int] = []

    def work(number: int) -> None:
        results.extend(engine.submit(job(n % 4 + 1, user=f"u{number}")).result(WAIT) for n in range(50))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert sorted(results) == sorted([n % 4 + 1 for n in range(50)] * 8)
    until(lambda: engine.stats()["running"] == 0)
    assert engine.stats()["jobs"] == {"count": {"done": 400}}


jobs = st.tuples(
    st.integers(1, 6),  # quanta
    st.sampled_from("ab"),
    st.integers(0, 10),  # bytes of 10
    st.sampled_from(["", "", "", "fail", "release", RuntimeError("broken")]),
    st.sampled_from(["ann", "bob", "eve"]),
    st.sampled_from(["interactive", "normal", "batch"]),
    st.sampled_from([None, None, None, 0.001]),  # timeout
    st.booleans(),  # cancelled
)


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.generate])  # threads do not shrink
@given(st.lists(jobs, max_size=25), st.booleans())
def test_every_job_ends_once_and_gives_everything_back(rows: list[tuple[Any, ...]], drain: bool) -> None:
    logging.getLogger("mmgen.engine.engine").disabled = True  # a release that raises is part of it
    runner = Counting()
    engine = Engine({"count": runner}, ledger=Ledger(10))
    handles, ends = [], []
    for quanta, key, nbytes, fails, user, priority, timeout, cancelled in rows:
        handles.append(engine.submit(job(quanta, key, nbytes, fails, user=user, priority=priority, timeout_s=timeout)))
        handles[-1].job.future.add_done_callback(ends.append)
        if cancelled:
            handles[-1].cancel()
    engine.close(drain=drain, timeout=WAIT)
    logging.getLogger("mmgen.engine.engine").disabled = False
    assert [handle.done() for handle in handles] == [True] * len(rows), "no job is lost"
    assert len(ends) == len(rows), "each ended once"
    assert not runner.stepped_late, "and ran no more"
    assert sorted(map(id, runner.released)) == sorted(id(handle.job) for handle in handles)
    assert engine.ledger.held == 0 and len(engine.scheduler) == 0
    assert not engine._loop.active and not len(engine._loop.admission) and not engine._loop.admission._bytes
    assert sum(engine.metrics.jobs.values()) == len(rows)
    for handle, (quanta, *_, cancelled) in zip(handles, rows, strict=True):
        steps = sum(handle.job in batch for batch in runner.batches)
        assert (handle.job.state or 0) <= steps <= quanta, "a batch that raised may not have come to it"
        if handle.status == "done":
            assert handle.result(0) == quanta == steps
        elif handle.status == "failed":
            assert not isinstance(error_of(handle), Busy)
        else:
            assert cancelled or not drain or handle.job.request.deadline is not None


def test_idle_engine_uses_no_time(engine: Engine) -> None:
    assert engine.submit(job(timeout_s=100)).result(WAIT) == 1
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1


def test_stats(engine: Engine, runner: Counting, gate: Any) -> None:
    engine.submit(job(2, nbytes=4, user="ann"))
    assert runner.first_quantum.wait(WAIT)
    waiting = engine.submit(job(1, nbytes=7, user="bob"))
    stats = engine.stats()
    assert (stats["queued"], stats["running"], stats["ledger"], stats["quanta"]) == (1, 1, {"count": 4}, 0)
    gate.set()
    assert waiting.result(WAIT) == 1
    until(lambda: engine.stats()["jobs"] == {"count": {"done": 2}})
    stats = engine.stats()
    assert (stats["queued"], stats["running"], stats["ledger"], stats["quanta"]) == (0, 0, {}, 3)
    assert set(stats["device_ms"]) == {"ann", "bob"}


def test_overhead_with_a_thousand_waiting() -> None:
    """The whole turn of the engine, not the scheduler alone: 1,000 jobs of ten users, fifty keys."""
    with Engine({"count": Counting()}, scheduler=FairScheduler(max_batch=4)) as engine:
        start = threading.Event()
        engine.submit(Job("call", lambda: start.wait(WAIT)))
        handles = [engine.submit(job(5, key=n % 50, user=f"u{n % 10}")) for n in range(1000)]
        began = time.perf_counter()
        start.set()
        assert [handle.result(WAIT) for handle in handles] == [5] * 1000
        took = time.perf_counter() - began
        quanta = engine.stats()["quanta"]
    print(f"{1e6 * took / quanta:.0f} microseconds a quantum, {quanta} quanta")
    assert took / quanta < 2e-3


def test_torch_free() -> None:
    program = "import sys, mmgen.engine.engine; print(*({'torch', 'numpy', 'prometheus_client'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == ""


class OneAtATime(Counting):
    """Room for one job: the first that gets a quantum; the others wait until it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.holder: Job | None = None

    def step(self, jobs: Sequence[Job]) -> None:
        self.holder = self.holder or jobs[0]
        for one in jobs:
            one.waits = one is not self.holder
        if self.holder in jobs:
            super().step([self.holder])

    def release(self, job: Job) -> None:
        super().release(job)
        if job is self.holder:
            self.holder = None


@pytest.mark.parametrize("users", [("a", "a", "a", "a"), ("a", "b", "c", "a")])
def test_jobs_that_wait_get_no_quanta_until_another_ended(users: Sequence[str]) -> None:
    runner = OneAtATime()
    with Engine({"count": runner}) as engine:
        handles = [engine.submit(job(30, user=user)) for user in users]
        assert [handle.result(WAIT) for handle in handles] == [30] * 4
        assert engine.stats()["quanta"] < 4 * 30 + 20  # those who wait are not asked again and again
    assert len(runner.released) == 4


def test_a_job_that_waits_can_be_cancelled() -> None:
    runner = OneAtATime()
    with Engine({"count": runner}) as engine:
        endless, waiting = engine.submit(job(ENDLESS)), engine.submit(job(1))
        runner.first_quantum.wait(WAIT)
        waiting.cancel()
        assert isinstance(error_of(waiting), Cancelled)
        endless.cancel()


class Told(Counting):
    """Says what is to come, and takes 5 ms a quantum."""

    kind, streams = "kv", True

    def estimate(self, job: Job) -> Estimate:
        return Estimate(job.payload[0], 5.0)

    def counters(self) -> dict[str, float]:
        return {"cached": 3.0}

    def step(self, jobs: Sequence[Job]) -> None:
        time.sleep(0.005)
        super().step(jobs)


def test_a_deadline_that_cannot_be_met_is_refused_once_costs_are_known() -> None:
    with Engine({"count": Told()}) as engine:
        with pytest.raises(DeadlineExceeded, match="passed its deadline"):
            engine.submit(job(1000, timeout_s=0.02)).result(WAIT)  # nothing is known yet: it is tried
        assert engine.submit(job(10)).result(WAIT) == 10
        message = r"has 0\.\d+ s, this count job takes \d+(\.\d+)? s at least \(\d.* s of the device alone\); allow it \d"
        with pytest.raises(DeadlineExceeded, match=message):
            engine.submit(job(1000, timeout_s=0.5))
        assert engine.submit(job(2, timeout_s=WAIT)).result(WAIT) == 2
        assert engine.stats()["queued"] == 0


def test_the_estimate_is_about_what_it_takes() -> None:
    with Engine({"count": Told()}) as engine:
        assert engine.submit(job(20, user="bob")).result(WAIT) == 20
        alone = engine.estimate(one := job(20))
        assert alone is not None and 0.1 <= alone.expected < 0.3
        other = engine.submit(job(ENDLESS, key="b", user="bob"))
        shared = engine.estimate(job(20))
        assert shared is not None and shared.expected == pytest.approx(2 * alone.expected, rel=0.5)
        began = time.monotonic()
        assert engine.submit(one).result(WAIT) == 20
        assert time.monotonic() - began == pytest.approx(shared.expected, rel=0.6)
        other.cancel()


def test_streaming_jobs_are_measured_by_their_events() -> None:
    with Engine({"count": Told()}) as engine:
        request = Request.new()
        assert engine.submit(Job("count", (10, "a", 4, ""), request)).result(WAIT) == 10
        assert engine.submit(job(5, priority="batch")).result(WAIT) == 5
        until(lambda: not engine._loop.active)
        snapshot, text = engine.metrics.snapshot(), exposition(engine.metrics, openmetrics=True)
    assert snapshot["first_ms"]["count"]["count"] == 1 and snapshot["between_ms"]["count"]["count"] == 9
    assert snapshot["between_ms"]["count"]["sum"] / 9 > 4
    assert f'request="{request.id}"' in text and 'mmgen_runner_total{runner="count",what="cached"} 3.0' in text


def test_one_request_id_in_logs_and_traces(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "mmgen.engine"), Engine({"count": Counting()}) as engine:
        handle = engine.submit(job(2))
        assert handle.result(WAIT) == 2
        until(lambda: not engine._loop.active)
    ids = {getattr(record, "request", None) for record in caplog.records}
    assert ids == {handle.job.request.id}
    assert [record.getMessage().split(": ", 1)[1][:14] for record in caplog.records] == ["count job of l", "count job done"]
