"""What the estimate says at submission beside what comes to be, under loads in simulated time: learned from the first jobs."""

import heapq
import random
from collections.abc import Callable
from itertools import count
from statistics import fmean

import pytest

from mmgen.engine.job import Job, Request
from mmgen.engine.scheduling.fair import FairScheduler
from mmgen.engine.scheduling.forecast import Forecast
from mmgen.engine.scheduling.gap_limiter import GapLimiter
from mmgen.engine.telemetry.simulator import SimulatedJob

LEARN, END = 300.0, 2300.0
"""Seconds after which jobs count, and after which none come."""
QUANTA = (5, 35)
WORK = 0.2
"""Seconds of the device that a job of 20 quanta takes, those of one job 10 ms each."""
Cost = Callable[[int], float]


def by_row(size: int) -> float:
    return 10.0 * size


def by_pass(size: int) -> float:
    """A pass costs as much as eight of its rows."""
    return 10 * (8 + size) / 9


class Device:
    """Turns of the policy `fair`, a forecast that is fed as the engine feeds it, and who submits when."""

    def __init__(self, cost: Cost = by_row, seed: int = 0) -> None:
        self.now, self.busy, self.cost, self.rng = 0.0, 0.0, cost, random.Random(seed)
        self.turns = GapLimiter(FairScheduler(clock=lambda: self.now))
        self.forecast = Forecast(self.turns.costs, lambda: self.now)
        self.said: list[tuple[float, float, float]] = []  # submitted; seconds of queueing: foreseen, and as it was
        self._coming: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def at(self, moment: float, act: Callable[[], None]) -> None:
        if moment < END:
            heapq.heappush(self._coming, (moment, next(self._numbers), act))

    def submit(self, user: str = "ann", priority: str = "normal", then: Callable[[], None] = lambda: None) -> None:
        job = SimulatedJob("draw", then, Request("", user, priority), seed=0)  # type: ignore[arg-type]
        job.key, job.submitted = "a", self.now
        job.expected_quanta = float(self.rng.randint(*QUANTA))
        ahead, estimate = self.forecast.ahead(job), self.forecast.of(job)
        job.state = estimate and (estimate.alone, estimate.expected)
        self.forecast.add(job, ahead)
        self.turns.add(job)

    def run(self) -> None:
        while self._coming or len(self.turns):
            if not len(self.turns):
                self.now = max(self.now, self._coming[0][0])
            while self._coming and self._coming[0][0] <= self.now:
                heapq.heappop(self._coming)[2]()
            batch = self.turns.next()
            milliseconds = self.cost(len(batch))
            self.now, self.busy = self.now + milliseconds / 1000, self.busy + milliseconds / 1000
            self.turns.charge(batch, milliseconds)
            for job in batch:
                job.quanta += 1
                self.forecast.took(job)
                if job.quanta == job.expected_quanta:
                    self._end(job)

    def _end(self, job: Job) -> None:
        job.status = "done"
        self.turns.remove(job)
        self.forecast.remove(job)
        if job.state is not None:
            alone, expected = job.state
            self.said.append((job.submitted or 0.0, expected - alone, max(0.0, self.now - (job.submitted or 0.0) - alone)))
        job.payload()

    def open(self, load: float, users: int = 1, priorities: tuple[str, ...] = ("normal",)) -> None:
        """Poisson arrivals; `load`: what they would take one by one, of the time."""

        moment = 0.0
        while moment < END:
            moment += self.rng.expovariate(load / WORK)
            user, priority = f"user{self.rng.randrange(users)}", self.rng.choice(priorities)
            self.at(moment, lambda user=user, priority=priority: self.submit(user, priority))  # type: ignore[misc]

    def closed(self, clients: int, think: float, users: int = 1) -> None:
        """Each submits again some time after its job is done, `think` seconds in the mean."""

        def client(number: int) -> None:
            def again() -> None:
                self.at(self.now + self.rng.expovariate(1 / think), lambda: client(number))

            self.submit(f"user{number % users}", then=again)

        for number in range(clients):
            self.at(self.rng.random() * think, lambda number=number: client(number))  # type: ignore[misc]

    def ratios(self) -> tuple[float, float]:
        """Queueing as foreseen by queueing as it was: the mean, and at 99 %."""
        said, was = zip(*((said, was) for moment, said, was in self.said if moment > LEARN), strict=True)
        return fmean(said) / fmean(was), late(said) / late(was)


def late(values: tuple[float, ...]) -> float:
    return sorted(values)[int(0.99 * len(values))]


def close(device: Device) -> None:
    """Both within 25 %."""
    device.run()
    mean, at_99 = device.ratios()
    assert 0.75 < mean < 1.25 and 0.75 < at_99 < 1.25, (mean, at_99)


@pytest.mark.parametrize("load", [0.5, 0.7, 0.9])
@pytest.mark.parametrize("users", [1, 4])
def test_jobs_that_come_at_random(load: float, users: int) -> None:
    device = Device()
    device.open(load, users)
    close(device)
    assert device.busy / device.now == pytest.approx(load, abs=0.05)


@pytest.mark.parametrize(("load", "come"), [(0.5, 0.65), (0.9, 2.0)])
def test_jobs_that_share_passes(load: float, come: float) -> None:
    """Busy for a part of the time in which twice as much may come as could be done one by one."""
    device = Device(by_pass)
    device.open(come)
    close(device)
    assert device.busy / device.now == pytest.approx(load, abs=0.05)


@pytest.mark.parametrize(
    ("load", "think", "users"), [(0.5, 3.0, 1), (0.7, 1.9, 1), (0.7, 1.9, 4), (0.9, 1.15, 1), (1.0, 0.05, 1), (1.0, 0.05, 4)]
)
def test_clients_who_wait_for_their_answers(load: float, think: float, users: int) -> None:
    device = Device()
    device.closed(8, think, users)
    close(device)
    assert device.busy / device.now == pytest.approx(load, abs=0.05)


@pytest.mark.parametrize("load", [0.5, 0.9])
def test_a_priority_that_is_overtaken(load: float) -> None:
    """Who comes later with more weight cannot be foreseen job by job: the mean is right, the longest waits are longer."""
    device = Device()
    device.open(load, priorities=("normal", "interactive"))
    device.run()
    mean, at_99 = device.ratios()
    assert 0.75 < mean < 1.25 and 0.6 < at_99 < 1.25, (mean, at_99)


def test_a_load_that_is_over_is_forgotten() -> None:
    """After a minute and a half of idleness a job is foreseen to be alone, and once 200 more were alone, little is left."""
    device = Device()
    device.closed(8, 0.05)
    device.run()
    ended, forecast = device.now, device.forecast
    one = SimulatedJob("draw", None, Request("", "ann"), seed=0)
    one.key, one.expected_quanta = "a", 20.0

    def excess() -> float:
        estimate = forecast.of(one)
        assert estimate is not None
        return estimate.expected / estimate.alone - 1

    device.now = ended + 90
    assert excess() < 0.01
    assert not forecast._left and not forecast._said and not forecast._queues
    for _ in range(200):  # busy as before, but with one job at a time
        one.status, ahead = "queued", forecast.ahead(one)
        forecast.add(one, ahead)
        device.now += 0.2
        one.status = "done"
        forecast.remove(one)
    assert forecast.correction.lately() > 0.5 and excess() < 0.05
