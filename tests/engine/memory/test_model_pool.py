"""Models that only count: which leave, when, and that jobs bring them back."""

import threading
import time
from typing import Any

import pytest

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job, Request
from mmgen.engine.memory.ledger import Ledger
from mmgen.engine.memory.model_pool import ModelPool
from mmgen.errors import Busy, Cancelled, JobFailed, NotFound, TooLarge

WAIT = 20.0


class Counted:
    """model_pool.Weights"""

    def __init__(self, nbytes: int, host: bool = False) -> None:
        self.nbytes, self.host, self.at, self.moves = nbytes, host, "device", list[str]()
        self.fails = False

    def bring(self) -> None:
        if self.fails:
            raise OSError("the file is gone")
        assert self.at != "device"
        self.at = "device"
        self.moves.append("bring")

    def rest(self) -> None:
        self.at = "host"
        self.moves.append("rest")

    def drop(self) -> None:
        self.at = "nowhere"
        self.moves.append("drop")


class Using:
    """A runner that needs its model on the device."""

    def __init__(self, weights: Counted) -> None:
        self.weights = weights

    def key(self, job: Job) -> int:
        return 0

    def reserve(self, job: Job) -> int:
        return int(job.payload[1])

    def step(self, jobs: list[Job]) -> None:
        assert self.weights.at == "device"
        for job in jobs:
            job.state = (job.state or 0) + 1
            if isinstance(job.payload[0], threading.Event):
                assert job.payload[0].wait(WAIT)
                job.finish("let go")
            elif job.state == job.payload[0]:
                job.finish(job.state)

    def release(self, job: Job) -> None:
        pass


def engine_of(limit: int | None, host: bool = False, **sizes: int) -> tuple[Engine, dict[str, Counted]]:
    engine, models = Engine({}, ledger=Ledger(limit)), {name: Counted(nbytes, host) for name, nbytes in sizes.items()}
    for name, weights in models.items():
        engine.call(engine.models.register, f"model {name}", weights.nbytes, lambda weights=weights: weights)
        engine.models.serve(f"model {name}", [name])
        engine.add_runner(name, Using(weights))
    return engine, models


def states(engine: Engine) -> dict[str, str]:
    return {one.name.removeprefix("model "): one.state for one in engine.models}


def run(engine: Engine, name: str, quanta: Any = 2, nbytes: int = 0) -> Any:
    return engine.submit(Job(name, (quanta, nbytes))).result(WAIT)


def settle(engine: Engine) -> None:
    while engine._loop.active:
        time.sleep(0.001)


def test_a_job_brings_its_model_and_another_leaves_for_it() -> None:
    engine, models = engine_of(100, a=60, b=60)
    with engine:
        assert states(engine) == {"a": "asleep", "b": "awake"}
        assert engine.ledger.by_kind() == {"weights": 60}
        assert run(engine, "a") == 2
        settle(engine)
        assert states(engine) == {"a": "awake", "b": "asleep"} and models["a"].moves == ["drop", "bring"]
        assert run(engine, "b", nbytes=40) == 2 and run(engine, "a", nbytes=40) == 2
        assert engine.models.evictions == 4
        settle(engine)
        assert engine.ledger.by_kind() == {"weights": 60}


def test_who_is_at_work_stays_and_the_other_waits() -> None:
    engine, _ = engine_of(100, a=60, b=60)
    with engine:
        gate = threading.Event()
        first, second = engine.submit(Job("b", (gate, 0))), engine.submit(Job("a", (3, 0)))
        time.sleep(0.05)
        assert states(engine) == {"a": "asleep", "b": "awake"} and not second.done()
        gate.set()
        assert first.result(WAIT) == "let go" and second.result(WAIT) == 3


def test_the_longest_idle_for_its_price_leaves_first() -> None:
    ledger = Ledger(100)
    pool, found = ModelPool(ledger), {}
    for name, used, reload_ms in (("old", 10.0, 1000.0), ("cheap", 50.0, 10.0), ("new", 99.0, 10.0)):
        found[name] = Counted(30)
        pool.register(name, 30, lambda name=name: found[name])
        one = pool._models[name]
        one.used, one.reload_ms = time.monotonic() - 100 + used, reload_ms
    assert pool.make_room(40)
    assert {one.name: one.state for one in pool} == {"old": "awake", "cheap": "asleep", "new": "awake"}
    assert pool.make_room(60)
    assert {one.name for one in pool if one.state == "awake"} == {"old"}
    assert not pool.make_room(60), "there is room"
    assert not pool.make_room(1000), "nobody leaves in vain"


def test_pinned_models_stay() -> None:
    engine, _ = engine_of(100, a=60)
    with engine:
        engine.models.pin("model a")
        with pytest.raises(Busy, match="model b needs 60 bytes, 40 are free; try again later"):
            engine.call(engine.models.register, "b", 60, lambda: Counted(60))
        with pytest.raises(Busy, match="model a is pinned; unpin it first"):
            engine.call(engine.models.sleep, "model a")
        engine.models.pin("model a", False)
        engine.call(engine.models.register, "b", 60, lambda: Counted(60))
        with pytest.raises(TooLarge, match="model c needs 101 bytes, the device's limit is 100"):
            engine.call(engine.models.register, "c", 60, lambda: Counted(101))


def test_sleep_and_wake() -> None:
    engine, models = engine_of(None, host=True, a=60)
    with engine:
        engine.call(engine.models.sleep, "a")
        engine.call(engine.models.sleep, "a")
        assert states(engine) == {"a": "resting"} and models["a"].at == "host" and engine.ledger.held == 0
        engine.call(engine.models.wake, "a")
        assert states(engine) == {"a": "awake"} and engine.ledger.held == 60
        engine.call(engine.models.sleep, "a", True)
        assert states(engine) == {"a": "asleep"} and run(engine, "a") == 2
        gate = threading.Event()
        handle = engine.submit(Job("a", (gate, 0)))
        gate.set()
        handle.result(WAIT)
        with pytest.raises(NotFound, match=r"no model aa was loaded \(did you mean"):
            engine.call(engine.models.wake, "aa")
    assert models["a"].moves == ["rest", "bring", "drop", "bring"]


def test_a_model_with_jobs_does_not_sleep() -> None:
    engine, _ = engine_of(None, a=60)
    with engine:
        handle = engine.submit(Job("a", (10**9, 0)))
        while handle.status == "queued":
            time.sleep(0.001)
        with pytest.raises(Busy, match="has 1 jobs under way"):
            engine.call(engine.models.sleep, "a")
        handle.cancel()


def test_the_hosts_memory_has_a_limit_too() -> None:
    pool = ModelPool(Ledger(), host_limit=100)
    models = [Counted(60, host=True) for _ in range(2)]
    for number, weights in enumerate(models):
        pool.register(f"m{number}", 60, lambda weights=weights: weights)
        pool.sleep(f"m{number}")
    assert [one.at for one in models] == ["nowhere", "host"]


def test_a_model_that_cannot_come_back_fails_its_jobs_and_gives_its_bytes_back() -> None:
    engine, models = engine_of(100, a=60)
    with engine:
        engine.call(engine.models.sleep, "a")
        models["a"].fails = True
        with pytest.raises(JobFailed, match="a failed: OSError: the file is gone"):
            run(engine, "a")
        settle(engine)
        assert engine.ledger.held == 0
        models["a"].fails = False
        assert run(engine, "a") == 2


def test_a_job_that_ends_before_its_model_came_leaves_nothing() -> None:
    engine, _ = engine_of(100, a=60)
    with engine:
        engine.call(engine.models.sleep, "a")
        gate = threading.Event()
        engine.submit(Job("call", lambda: gate.wait(WAIT)))
        request = Request.new()
        handle = engine.submit(Job("a", (1, 5), request))
        request.cancel()
        gate.set()
        with pytest.raises(Exception, match="was cancelled"):
            handle.result(WAIT)
        settle(engine)
        assert engine.ledger.held == 0


def test_calls_bring_the_model_too() -> None:
    engine, models = engine_of(100, a=60, b=60)
    with engine:
        assert engine.call_with("a", lambda: models["a"].at) == "device" and states(engine)["b"] == "asleep"
        engine.models.pin("a")
        with pytest.raises(Busy, match="model b needs 60 bytes, 40 are free"):
            engine.call_with("b", lambda: None)
        assert engine.call_with("nobody's", lambda: 3) == 3


def test_a_job_larger_than_what_idle_models_leave_is_refused_with_the_numbers() -> None:
    engine, _ = engine_of(100, a=60)
    with engine:
        engine.models.pin("a")
        engine.add_runner("other", Using(Counted(0)))
        with pytest.raises(Busy, match="this other job needs 50 bytes, 40 are free; try again later"):
            run(engine, "other", nbytes=50)
        engine.models.pin("a", False)
        assert run(engine, "other", nbytes=50) == 2 and states(engine) == {"a": "asleep"}


def test_a_model_that_is_loaded_again_is_booked_once() -> None:
    pool = ModelPool(Ledger(100))
    for _ in range(3):
        pool.register("a", 60, lambda: Counted(60))
    assert pool.ledger.held == 60 and len(list(pool)) == 1


def test_a_runner_may_need_several_models() -> None:
    """All of them come and go with its jobs; one that is added later is counted for jobs under way, and can be forgotten."""
    engine, models = engine_of(None, main=10)
    beside = Counted(5)
    with engine:
        endless = engine.submit(Job("main", (-1, 0), Request.new()))
        while not next(iter(engine.models)).jobs:
            time.sleep(0.001)
        engine.call(engine.models.register, "beside", 5, lambda: beside)
        engine.call(engine.models.serve, "beside", ["main"], True)
        with pytest.raises(Busy, match="model beside has 1 jobs under way"):
            engine.call(engine.models.forget, "beside")
        endless.cancel()
        with pytest.raises(Cancelled):
            endless.result()
        for name in ("model main", "beside"):
            engine.call(engine.models.sleep, name, True)
        assert models["main"].at == beside.at == "nowhere"
        assert engine.submit(Job("main", (1, 0), Request.new())).result() == 1
        assert models["main"].at == beside.at == "device"
        engine.call(engine.models.forget, "beside")
        assert beside.at == "nowhere" and [one.name for one in engine.models] == ["model main"]
        assert engine.submit(Job("main", (1, 0), Request.new())).result() == 1
        assert beside.at == "nowhere"
