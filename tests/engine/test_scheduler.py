"""The scheduler driven directly, with simulated milliseconds."""

import random
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.engine.job import Job, Priority, Request
from mmgen.engine.scheduler import FairScheduler
from mmgen.errors import BadRequest


def job(user: str = "ann", key: object = None, priority: Priority = "normal", deadline: float | None = None) -> Job:
    out = Job("count", None, Request(user=user, priority=priority, deadline=deadline))
    out.key = key if key is not None else id(out)
    return out


def add(scheduler: FairScheduler, *jobs: Job) -> None:
    for one in jobs:
        scheduler.add(one)


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0]), min_size=2, max_size=4),
    costs=st.lists(st.floats(1, 50), min_size=50, max_size=200),
)
def test_backlogged_users_differ_by_two_quanta_at_most(weights: list[float], costs: list[float]) -> None:
    scheduler = FairScheduler()
    for number, weight in enumerate(weights):
        scheduler.set_weight(f"u{number}", weight)
        add(scheduler, job(f"u{number}"))
    normal = {f"u{number}": 0.0 for number in range(len(weights))}
    history = [dict(normal)]
    for cost in costs:
        (head,) = scheduler.next()
        scheduler.charge([head], cost)
        normal[head.request.user] += cost / weights[int(head.request.user[1:])]
        history.append(dict(normal))
    bound = 2 * max(costs) / min(weights)
    for first in history[:: max(1, len(history) // 20)]:
        for last in history[:: max(1, len(history) // 20)]:
            served = [last[user] - first[user] for user in normal]
            assert max(served) - min(served) <= bound + 1e-6


def test_idleness_is_neither_punished_nor_saved_up() -> None:
    scheduler = FairScheduler()
    add(scheduler, busy := job("ann"))
    for _ in range(100):
        scheduler.charge(scheduler.next(), 10)
    late = job("bob")
    add(scheduler, late)
    served = {"ann": 0.0, "bob": 0.0}
    for _ in range(40):
        (head,) = scheduler.next()
        scheduler.charge([head], 10)
        served[head.request.user] += 10
    assert abs(served["ann"] - served["bob"]) <= 10
    assert busy.device_ms == pytest.approx(1000 + served["ann"])


def test_what_was_used_while_alone_is_not_held_against_anybody() -> None:
    """Ann works alone and leaves, Bob works alone, Ann comes back: they share evenly from then on."""
    scheduler = FairScheduler()
    for user, quanta in (("ann", 50), ("bob", 3)):
        add(scheduler, alone := job(user))
        for _ in range(quanta):
            scheduler.charge(scheduler.next(), 10)
        scheduler.remove(alone)
    add(scheduler, bob := job("bob"), ann := job("ann"))
    for _ in range(20):
        scheduler.charge(scheduler.next(), 10)
    assert (ann.device_ms, bob.device_ms) == (100, 100)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_starvation(seed: int) -> None:
    """Users and priorities come and go at random; who has work is served again within a bounded number of quanta."""
    rng = random.Random(seed)
    scheduler = FairScheduler(max_batch=1)
    waiting: dict[tuple[str, str], int] = {}
    jobs: list[Job] = []
    for _ in range(400):
        if rng.random() < 0.3 or not jobs:
            one = job(rng.choice("abcd"), priority=rng.choice(["interactive", "normal", "batch"]))
            add(scheduler, one)
            jobs.append(one)
        (head,) = scheduler.next()
        scheduler.charge([head], 10)
        served = (head.request.user, head.request.priority)
        with_work = {(j.request.user, j.request.priority) for j in jobs}
        waiting = {flow: 0 if flow == served else waiting.get(flow, 0) + 1 for flow in with_work}
        assert max(waiting.values()) <= 4 * 2 * (13 + 3)  # users x (a round of the priorities, and one more after a join)
        if rng.random() < 0.3:
            scheduler.remove(head)
            jobs.remove(head)


def test_priorities_share_by_weight() -> None:
    scheduler = FairScheduler()
    add(scheduler, *(one := [job(priority="interactive"), job(priority="normal"), job(priority="batch")]))
    for _ in range(1300):
        scheduler.charge(scheduler.next(), 1)
    assert [round(j.device_ms / 100) for j in one] == [8, 4, 1]


def test_earliest_deadline_first_then_first_come() -> None:
    scheduler = FairScheduler()
    plain, later, soon = job(), job(deadline=200.0), job(deadline=100.0)
    add(scheduler, plain, later, soon)
    order = []
    while batch := scheduler.next():
        order += batch
        scheduler.remove(batch[0])
    assert order == [soon, later, plain]


def test_a_batch_has_one_key_and_takes_users_in_turn() -> None:
    scheduler = FairScheduler(max_batch=4)
    add(scheduler, *(job("ann", key="x") for _ in range(10)), *(job("bob", key="x") for _ in range(10)), job("eve", "y"))
    batch = scheduler.next()
    assert len(batch) == 4 and {j.key for j in batch} == {"x"}
    assert sorted(j.request.user for j in batch) == ["ann", "ann", "bob", "bob"]
    assert len(set(batch)) == 4


def test_costs_are_split_by_units() -> None:
    scheduler = FairScheduler()
    small, large = job("ann", "x"), job("bob", "x")
    small.units, large.units = 1, 3
    add(scheduler, small, large)
    scheduler.charge(scheduler.next(), 40)
    assert (small.device_ms, large.device_ms) == (10, 30)
    small.units = large.units = 0
    scheduler.charge([small, large], 40)
    assert (small.device_ms, large.device_ms) == (30, 50)


def test_removed_jobs_do_not_come_back() -> None:
    scheduler = FairScheduler()
    jobs = [job(key="x") for _ in range(5)]
    add(scheduler, *jobs)
    for gone in jobs[:3]:
        scheduler.remove(gone)
        scheduler.remove(gone)
    assert scheduler.next() == jobs[3:]
    assert len(scheduler) == 2


def test_bad_weight() -> None:
    for weight in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(BadRequest, match="weight of ann"):
            FairScheduler().set_weight("ann", weight)


def test_a_quantum_is_cheap_with_a_thousand_waiting() -> None:
    scheduler = FairScheduler()
    add(scheduler, *(job(f"u{n % 10}", n % 50) for n in range(1000)))
    times = [time.perf_counter()]
    for _ in range(200):
        scheduler.charge(scheduler.next(), 1)
        times.append(time.perf_counter())
    laps = sorted(b - a for a, b in pairwise(times))
    print(f"{1e6 * laps[100]:.0f} microseconds a quantum")
    assert laps[100] < 2e-3  # the figure is some 50 microseconds; the bound is for a loaded machine
