import time
from pathlib import Path

import pytest

from mmgen.engine.engine import Engine
from mmgen.engine.fair import FairScheduler
from mmgen.engine.job import Job, Request
from mmgen.engine.queues import Fifo, Shortest
from mmgen.engine.simulator import Arrival, Recorded, arrivals, play, synthetic_day
from mmgen.engine.trace import Trace, read
from mmgen.errors import BadRequest


def cost(runner: str, key: str, size: int) -> float:
    return 10.0


def test_a_single_job_takes_its_quanta() -> None:
    out = play([Arrival(5.0, "draw", "a", 7)], cost, FairScheduler)
    assert (out.jobs, out.quanta, out.end, out.busy) == (1, 7, pytest.approx(5.07), pytest.approx(0.07))
    assert out.turnaround["normal"] == [pytest.approx(0.07)]


def test_policies_differ_as_they_should() -> None:
    """A long job, and behind it a short one of somebody else."""
    jobs = [Arrival(0.0, "draw", "a", 100), Arrival(0.005, "draw", "b", 2, user="bob")]
    ends = {policy: play(jobs, cost, policy).turnaround["normal"] for policy in (FairScheduler, Fifo)}
    assert ends[Fifo] == [pytest.approx(1.0), pytest.approx(1.015)]
    assert ends[FairScheduler] == [pytest.approx(0.035), pytest.approx(1.02)], "bob first, in half of the device's time"


def test_shortest_knows_what_was_learned() -> None:
    seen = [Arrival(0.0, "draw", "a", 1)]
    jobs = [Arrival(0.1, "draw", "a", 50), Arrival(0.105, "draw", "b", 2)]
    out = play([*seen, *jobs], cost, Shortest)
    assert out.jobs == 3 and min(out.turnaround["normal"][1:]) < 0.05


def test_deadlines_streams_and_noise() -> None:
    jobs = [
        Arrival(0.0, "text", "t", 50, priority="interactive", streams=True),
        Arrival(0.0, "draw", "a", 10, user="bob", deadline=0.01),
        Arrival(0.0, "draw", "a", 10, user="bob", deadline=100.0),
    ]
    out = play(jobs, cost, FairScheduler, max_gap_ms=15, noise=0.01)
    assert out.late == 1 and len(out.gaps) == 49 and len(out.first) == 1
    assert max(out.gaps) < 0.03
    text = dict(out.rows())
    assert text["jobs"].startswith("3 in ") and "between tokens" in text and "over 2 users" in text["fairness (Jain)"]


class Sleeping:
    def key(self, job: Job) -> str:
        return "k"

    def reserve(self, job: Job) -> int:
        return 0

    def step(self, jobs: list[Job]) -> None:
        time.sleep(0.003)
        for job in jobs:
            job.state = (job.state or 0) + 1
            if job.state == job.payload:
                job.finish()

    def release(self, job: Job) -> None:
        pass


def test_a_recorded_trace_takes_as_long_when_it_is_played(tmp_path: Path) -> None:
    began = time.monotonic()
    with Engine({"draw": Sleeping()}, trace=Trace(tmp_path / "t.json")) as engine:
        handles = [engine.submit(Job("draw", n, Request(user=f"u{n}"))) for n in (20, 10, 30)]
        for handle in handles:
            handle.result(20)
        took = time.monotonic() - began
    coming, recorded = arrivals(read(tmp_path / "t.json"))
    assert sorted(one.quanta for one in coming) == [10, 20, 30] and {one.user for one in coming} == {"u10", "u20", "u30"}
    assert recorded("draw", "'k'", 3) >= 3
    out = play(coming, recorded, FairScheduler)
    assert out.jobs == 3 and 0.5 * took < out.busy < 1.1 * took


def test_a_trace_without_work() -> None:
    with pytest.raises(BadRequest, match="holds no job"):
        arrivals([{"ph": "b", "id": 1, "args": {}}])


def test_sizes_that_were_not_recorded() -> None:
    recorded = Recorded()
    for size in (1, 2, 1, 2):
        recorded.add("draw", "k", size, 10.0 * size)
    assert recorded("draw", "k", 2) == 20 and recorded("draw", "k", 4) == pytest.approx(40) and recorded("x", "k", 1) == 1


def test_a_synthetic_day() -> None:
    """A short one of benchmarks/scheduler.py: all jobs end, nobody is left, and a quantum is cheap to choose."""
    jobs = list(synthetic_day(3000, 100, seconds=60.0))
    assert [one.at for one in jobs] == sorted(one.at for one in jobs)
    out = play(jobs, lambda runner, key, size: 4.0 + size, FairScheduler, max_gap_ms=50.0)
    assert out.jobs == 3000 and sum(out.shares.values()) == pytest.approx(out.busy)
    assert out.most_waiting > 20
    print(f"{out.choosing_us:.0f} microseconds a quantum")
    assert out.choosing_us < 1000  # the figure is below 50; the bound is for a loaded machine
