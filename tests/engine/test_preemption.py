"""Answers in the middle of other work's quanta: with a clock that is set, and through the engine."""

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from fault_storm import StormyAnswers, StormyDrawing, burst, chatting

from mmgen.engine import preemption
from mmgen.engine.engine import Engine
from mmgen.engine.job import Job, Request
from mmgen.engine.memory.ledger import Ledger
from mmgen.engine.preemption import PreemptionPoints
from mmgen.errors import Cancelled

WAIT = 20.0


class Clock:
    now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(preemption, "time", clock)
    return clock


class Served:
    """Is asked, and takes its time."""

    def __init__(self, clock: Clock, seconds: float = 0.0) -> None:
        self.clock, self.seconds, self.asked = clock, seconds, list[tuple[float, float]]()

    def __call__(self, spent: float, part: float) -> bool:
        self.asked.append((round(spent, 6), round(part, 6)))
        self.clock.now += self.seconds
        return self.seconds > 0


def test_what_others_take_is_not_the_steps_own(clock: Clock) -> None:
    served = Served(clock, 0.5)
    pause, waited = PreemptionPoints(lambda: True, served), list[float]()
    pause.begin([Job("draw", None)])
    for part in (0.01, 0.03, 0.02):
        clock.now += part
        pause(lambda: waited.append(clock.now))
    assert served.asked == [(10, 0), (40, 30), (60, 30)], "the first part began before anybody looked"
    assert pause.end() == pytest.approx(1500) and len(waited) == 3


def test_the_longest_part_fades_by_the_step_and_belongs_to_its_runner(clock: Clock) -> None:
    served = Served(clock)
    pause = PreemptionPoints(lambda: True, served)
    for runner in ("draw", "draw", "decode"):
        pause.begin([Job(runner, None)])
        pause()
        clock.now += 0.01 if served.asked[1:] else 0.1
        pause()
        pause.end()
    assert [part for _, part in served.asked] == [0, 100, 80, 80, 0, 10]


def test_nobody_is_asked_for_nothing(clock: Clock) -> None:
    """Outside a step, where nobody streams, within an interlude, on another thread."""
    served = Served(clock)
    wanted = [True]
    pause = PreemptionPoints(lambda: wanted[0], served)
    pause()
    pause.begin([Job("draw", None)])
    other = threading.Thread(target=pause)
    other.start()
    other.join()
    wanted[0] = False
    pause()
    assert not served.asked
    wanted[0] = True
    nested = PreemptionPoints(lambda: True, lambda spent, part: bool(nested()))
    nested.begin([Job("draw", None)])
    nested()
    clock.now += 9.0
    pause()
    assert served.asked == [(9000, 0)], "what lay between two looks is no part"
    pause.end()
    pause()
    assert len(served.asked) == 1


class Drawing:
    """Steps of ten parts, 5 ms each; a job's payload is how many steps it takes."""

    def __init__(self) -> None:
        self.pause: Callable[[], None] = lambda: None
        self.released: list[Job] = []
        self.in_a_step = threading.Event()
        self.went_on = 0  # parts of jobs that were released

    def pause_with(self, pause: Callable[[], None]) -> None:
        self.pause = pause

    def key(self, job: Job) -> Any:
        return "k"

    def reserve(self, job: Job) -> int:
        return 1

    def release(self, job: Job) -> None:
        self.released.append(job)

    def step(self, jobs: Sequence[Job]) -> None:
        for _ in range(10):
            self.in_a_step.set()
            time.sleep(0.005)
            self.went_on += any(job in self.released for job in jobs)
            self.pause()
        for job in jobs:
            job.state = (job.state or 0) + 1
            if job.state == job.payload:
                job.finish(time.monotonic())


class Answering:
    """A token a step; a job's payload is how many it takes. Its result: when they came."""

    streams, seconds = True, 0.0

    def key(self, job: Job) -> Any:
        return "k"

    def reserve(self, job: Job) -> int:
        return 1

    def release(self, job: Job) -> None:
        pass

    def step(self, jobs: Sequence[Job]) -> None:
        time.sleep(self.seconds)
        for job in jobs:
            job.state = [*(job.state or []), time.monotonic()]
            job.emit(len(job.state))
            if len(job.state) == job.payload:
                job.finish(job.state)


@pytest.fixture
def drawing() -> Drawing:
    return Drawing()


@pytest.fixture
def engine(drawing: Drawing) -> Iterator[Engine]:
    engine = Engine({"draw": drawing, "text": Answering()}, ledger=Ledger(10), max_gap_ms=15)
    yield engine
    engine.close(drain=False, timeout=WAIT)
    assert engine.ledger.held == 0 and not drawing.went_on


def draw(steps: int, user: str = "bob") -> Job:
    return Job("draw", steps, Request(user=user))


def test_an_answer_goes_on_inside_the_passes_of_others(engine: Engine) -> None:
    answer = engine.submit(Job("text", 60))
    drawn = [engine.submit(draw(4, f"u{number}")) for number in range(3)]
    moments = answer.result(WAIT)
    for handle in drawn:
        handle.result(WAIT)
    steps = engine.metrics.quanta["draw"]
    batches = engine.metrics.batches["draw"].sum
    assert steps.sum / steps.count > 45, "a step is longer than what an answer waits"
    assert batches == 12 and steps.count < 12, "and was not cut to one image for it"
    gaps = [1000 * (b - a) for a, b in itertools.pairwise(moments) if b < max(h.result(WAIT) for h in drawn)]
    assert sorted(gaps)[len(gaps) * 9 // 10] < 30, "15 ms, and what a busy machine adds"


def test_who_comes_in_the_middle_of_a_step_has_his_answer_before_its_end(engine: Engine, drawing: Drawing) -> None:
    image = engine.submit(draw(1))
    assert drawing.in_a_step.wait(WAIT)
    (moment,) = engine.submit(Job("text", 1)).result(WAIT)
    assert moment < image.result(WAIT) and engine.scheduler.longest_gap < 40, "he did not wait for what was before him"


def test_who_is_cancelled_in_a_step_is_released_behind_it(engine: Engine, drawing: Drawing) -> None:
    """The fixture sees to it that nobody is before."""
    answer = engine.submit(Job("text", 10**6))
    image = engine.submit(draw(2))
    assert drawing.in_a_step.wait(WAIT)
    image.cancel()
    with pytest.raises(Cancelled):
        image.result(WAIT)
    answer.cancel()
    with pytest.raises(Cancelled):
        answer.result(WAIT)


def test_steps_cost_what_they_take_themselves(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what others took inside them."""
    monkeypatch.setattr(Answering, "seconds", 0.02)
    began = time.monotonic()
    image, answer = engine.submit(draw(3)), engine.submit(Job("text", 10**6))
    wall = 1000 * (image.result(WAIT) - began)
    answer.cancel()
    with pytest.raises(Cancelled):
        answer.result(WAIT)
    assert image.job.quanta == 3 and image.job.device_ms >= 150 and answer.job.device_ms > 100
    assert image.job.device_ms + answer.job.device_ms < 1.05 * wall + 40, "40 ms: two tokens behind the image"


def test_a_policy_that_bounds_no_gap_lets_nobody_in(drawing: Drawing) -> None:
    from mmgen.engine.scheduling.simple_policies import Fifo

    with Engine({"draw": drawing, "text": Answering()}, Fifo(), max_gap_ms=15) as engine:
        image, answer = engine.submit(draw(1)), engine.submit(Job("text", 1))
        assert answer.result(WAIT)[0] > image.result(WAIT)


def test_storms_within_storms() -> None:
    """Both kinds of work fail in every way; every job ends once and gives back what it held."""
    runners = {"stormy": StormyDrawing(1), "text": StormyAnswers(2)}
    with Engine(runners, ledger=Ledger(100), max_gap_ms=0.01) as engine, chatting(engine) as ended:
        ends = burst(engine, random.Random(0), 1200)
    assert sum(ends.values()) == 1200 and set(ends) <= {"done", "failed", "cancelled"}
    assert engine.metrics.quanta["text"].count > 100 and len(ended) > 20
    assert all(not runner.held for runner in runners.values()) and engine.ledger.held == 0


class Layered:
    """A text runner whose steps have points too. Notes which steps ran inside another one."""

    streams = True

    def __init__(self) -> None:
        self.under_way: list[Job] = []
        self.inside: list[Job] = []
        self.begun = threading.Event()

    def pause_with(self, pause: Callable[[], None]) -> None:
        self.pause = pause

    def key(self, job: Job) -> Any:
        return "k"

    def reserve(self, job: Job) -> int:
        return 0

    def release(self, job: Job) -> None:
        pass

    def step(self, jobs: Sequence[Job]) -> None:
        assert not set(self.under_way) & set(jobs), "a job inside its own step"
        self.inside += jobs if self.under_way else []
        self.under_way += jobs
        self.begun.set()
        for _ in range(20):
            time.sleep(0.002)
            self.pause()
        self.under_way = self.under_way[: -len(jobs)]
        for job in jobs:
            job.state = (job.state or 0) + 1
            if job.state == 3:
                job.finish(job.state)


def test_a_runner_that_streams_pauses_for_its_other_jobs() -> None:
    runner = Layered()
    with Engine({"text": runner}, max_gap_ms=0.01) as engine:
        slow = engine.submit(Job("text", None, Request.new(priority="batch")))
        runner.begun.wait(WAIT)
        quick = [engine.submit(Job("text", None, Request.new(priority="interactive"))) for _ in range(2)]
        assert [job.result(WAIT) for job in (*quick, slow)] == [3, 3, 3]
    assert runner.inside and slow.job not in runner.inside
    assert engine._loop.preemption.jobs == ()
