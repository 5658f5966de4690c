import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.engine.job import Job, Priority, Request
from mmgen.engine.scheduling.scheduler import PATIENCE
from mmgen.engine.scheduling.simple_policies import ByPriority, Fifo, RankedQueue, Shortest
from mmgen.errors import BadRequest
from mmgen.plugins import registry


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def job(key: str = "a", priority: Priority = "normal", ms: float | None = None, deadline: float | None = None) -> Job:
    out = Job("count", None, Request(priority=priority, deadline=deadline), seed=0)
    out.key, out.expected_ms = key, ms
    return out


def served(queue: RankedQueue, *jobs: Job) -> list[Job]:
    for one in jobs:
        queue.add(one)
    order = []
    while batch := queue.next():
        queue.charge(batch, 1.0)
        order.append(batch[0])
        queue.remove(batch[0])
    return order


def test_fifo_runs_to_completion_a_request_at_a_time() -> None:
    queue, request = Fifo(), Request()
    first, other, same = job(), job(), job()
    first.request = same.request = request
    for one in (first, other, same):
        queue.add(one)
    assert queue.next() == [first, same]
    queue.remove(first)
    queue.remove(first)
    assert queue.next() == [other] and len(queue) == 2


def test_priority() -> None:
    late, soon = job(priority="batch"), job(priority="interactive", deadline=1010.0)
    plain, chat = job(), job(priority="interactive")
    assert served(ByPriority(clock=Clock()), late, plain, chat, soon) == [soon, chat, plain, late]


def test_shortest() -> None:
    long, short, unknown = job(ms=5000), job(ms=10), job()
    assert served(Shortest(clock=Clock()), long, short, unknown) == [unknown, short, long]


def test_a_batch_has_one_key_and_a_limit() -> None:
    queue = Shortest(max_batch=2)
    jobs = [job("a"), job("b"), job("a"), job("a")]
    for one in jobs:
        queue.add(one)
    assert queue.next() == [jobs[0], jobs[2]]
    assert queue.beside(jobs[3]) == [jobs[3], jobs[0]]


@settings(max_examples=20, deadline=None)
@given(policy=st.sampled_from([Fifo, ByPriority, Shortest]), seed=st.integers(0, 1000))
def test_nobody_starves(policy: type[RankedQueue], seed: int) -> None:
    """More work comes than can be done, and all of it may be preferred: what came first ends all the same."""
    clock, rng = Clock(), random.Random(seed)
    queue, patient = policy(max_batch=1, clock=clock), job(priority="batch", ms=60_000)
    queue.add(patient)
    for turn in range(10_000):
        queue.add(job(priority=rng.choice(["interactive", "normal"]), ms=rng.uniform(1, 100)))
        (head,) = queue.next()
        queue.remove(head)
        if head is patient:
            break
        clock.now += 1.0
        assert turn < 3 * PATIENCE + 600 + 1
    else:
        raise AssertionError("it starved")


def test_weights_say_nothing_and_must_be_weights() -> None:
    Fifo().set_weight("ann", 2)
    with pytest.raises(BadRequest, match="weight of ann is -1"):
        Fifo().set_weight("ann", -1)


@pytest.mark.parametrize("name", ["fair", "fifo", "priority", "shortest"])
def test_policies_are_in_the_registry(name: str) -> None:
    policy = registry().policies.get(name)(clock=Clock())
    policy.add(one := job())
    assert policy.next() == [one] == policy.beside(one)
    assert policy.charge([one], 7.0) == [7.0]
