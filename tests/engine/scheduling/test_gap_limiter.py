"""The cap on gaps, with simulated milliseconds."""

import itertools
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.engine.job import Job, Request
from mmgen.engine.scheduling.fair import FairScheduler
from mmgen.engine.scheduling.gap_limiter import GapLimiter
from mmgen.engine.scheduling.simple_policies import ByPriority, Fifo


def job(runner: str, user: str = "ann", streams: bool = False) -> Job:
    out = Job(runner, None, Request(user=user), seed=0)
    out.key, out.streams = "k", streams
    return out


def run_with_pauses(
    turns: GapLimiter, cost: dict[str, tuple[float, float]], quanta: int, part: float
) -> list[tuple[str, float]]:
    """Steps pause after every `part` milliseconds -> runner and milliseconds of what lies between two pauses, or quanta."""
    seen = []

    def serve(batch: list[Job]) -> None:
        milliseconds, spent = cost[batch[0].runner][0] + cost[batch[0].runner][1] * len(batch), 0.0
        while batch[0].pauses and milliseconds - spent > part:
            spent += part
            seen.append((batch[0].runner, part))
            while due := turns.due(batch, spent, part):
                serve(due)
        seen.append((batch[0].runner, milliseconds - spent))
        turns.charge(batch, milliseconds)

    for _ in range(quanta):
        serve(turns.next())
    return seen


def run(turns: GapLimiter, cost: dict[str, tuple[float, float]], quanta: int) -> list[list[Job]]:
    """`cost`: runner -> a and b of a + b n."""
    batches = []
    for _ in range(quanta):
        batch = turns.next()
        base, each = cost[batch[0].runner]
        turns.charge(batch, base + each * len(batch))
        batches.append(batch)
    return batches


def gaps(batches: list[list[Job]], cost: dict[str, tuple[float, float]]) -> list[float]:
    """Milliseconds in a row in which nobody streamed."""
    found, gap = [], 0.0
    for batch in batches:
        if any(one.streams for one in batch):
            found.append(gap)
            gap = 0.0
        else:
            gap += cost[batch[0].runner][0] + cost[batch[0].runner][1] * len(batch)
    return found


COST = {"text": (10.0, 0.0), "draw": (20.0, 10.0), "embed": (60.0, 0.0)}


def test_other_work_is_cut_into_what_an_answer_can_bear() -> None:
    turns = GapLimiter(FairScheduler(), max_gap_ms=65)
    turns.add(job("text", streams=True))
    for number in range(8):
        turns.add(job("draw", user=f"u{number}"))
    batches = run(turns, COST, 200)
    assert max(gaps(batches, COST)) <= 65 and not turns.broken
    assert {len(batch) for batch in batches[20:] if batch[0].runner == "draw"} == {4}, "as many as fit"


def test_without_an_answer_nothing_is_cut() -> None:
    turns = GapLimiter(FairScheduler(), max_gap_ms=50)
    for number in range(8):
        turns.add(job("draw", user=f"u{number}"))
    answer = job("text", streams=True)
    turns.add(answer)
    turns.remove(answer)
    assert [len(batch) for batch in run(turns, COST, 20)] == [8] * 20


def test_what_cannot_be_shorter_comes_behind_every_answer_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    turns = GapLimiter(FairScheduler(), max_gap_ms=25)
    answers = [job("text", streams=True), job("text", "bob", streams=True)]
    for one in (*answers, job("embed", "carl")):
        turns.add(one)
    with caplog.at_level(logging.WARNING, "mmgen.engine"):
        batches = run(turns, COST, 100)
    assert turns.broken["embed"] == sum(batch[0].runner == "embed" for batch in batches) > 5
    assert turns.longest_gap == 60
    (record,) = caplog.records
    assert record.getMessage() == ("a streaming answer waited 60 ms, the cap is 25: a quantum of embed with 1 jobs took 60 ms")
    assert len(record.request) == 12  # type: ignore[attr-defined]


@settings(max_examples=40, deadline=None)
@given(
    cap=st.floats(5, 100),
    users=st.lists(st.sampled_from(["draw", "embed"]), min_size=1, max_size=6),
    answers=st.integers(1, 3),
    costs=st.tuples(*[st.tuples(st.floats(1, 40), st.floats(0, 20))] * 3),
)
def test_the_cap_holds_or_one_job_alone_breaks_it(
    cap: float, users: list[str], answers: int, costs: tuple[tuple[float, float], ...]
) -> None:
    """And nobody starves by it."""
    cost = dict(zip(COST, costs, strict=True))
    turns = GapLimiter(FairScheduler(), max_gap_ms=cap)
    jobs = [job("text", f"a{number}", streams=True) for number in range(answers)]
    jobs += [job(runner, f"u{number}") for number, runner in enumerate(users)]
    for one in jobs:
        turns.add(one)
    run(turns, cost, 60)  # it has to learn first
    batches = run(turns, cost, 400)
    longest = max(gaps(batches, cost), default=0.0)
    alone = max(sum(cost[runner]) for runner in users)
    assert longest <= max(cap, alone) + 1e-6
    assert {one for batch in batches for one in batch} == set(jobs)


def longest_gap(seen: list[tuple[str, float]]) -> float:
    """Of what was seen; not of what the turns say themselves."""
    rows = itertools.groupby(seen, lambda one: one[0] == "text")
    return max((sum(milliseconds for _, milliseconds in row) for streamed, row in rows if not streamed), default=0.0)


@settings(max_examples=40, deadline=None)
@given(
    cap=st.floats(5, 100),
    part=st.floats(0.5, 60),
    images=st.integers(1, 9),
    answers=st.integers(1, 3),
    draw=st.tuples(st.floats(1, 200), st.floats(0, 20)),
)
def test_steps_that_pause_keep_the_cap_or_one_part_breaks_it(
    cap: float, part: float, images: int, answers: int, draw: tuple[float, float]
) -> None:
    """They keep their images together, and all of them go on."""
    turns = GapLimiter(FairScheduler(), max_gap_ms=cap)
    for number in range(answers):
        turns.add(job("text", f"a{number}", streams=True))
    for number in range(images):
        turns.add(one := job("draw", f"u{number}"))
        one.pauses = True
    cost = {"text": (5.0, 1.0), "draw": draw}
    run_with_pauses(turns, cost, 20, part)
    seen = run_with_pauses(turns, cost, 150, part)  # three answers pay 3 ms a turn, an image up to 220 for its step
    assert longest_gap(seen) <= max(cap, part) + 1e-6
    assert turns.longest_gap <= max(cap, part) + 1e-6
    assert {runner for runner, _ in seen} == {"text", "draw"}
    batches = [turns.next()]
    while batches[-1][0].streams:
        turns.charge(batches[-1], 6.0)
        batches.append(turns.next())
    assert len(batches[-1]) == len(turns.policy.next()) or draw[0] <= part


def test_who_comes_in_the_middle_of_a_step_waited_for_nothing_before() -> None:
    turns = GapLimiter(ByPriority(), max_gap_ms=30)
    turns.add(image := job("draw"))
    image.pauses = True
    batch = turns.next()
    assert turns.due(batch, 500.0, 5.0) == []
    turns.add(answer := job("text", "bob", streams=True))
    assert turns.due(batch, 505.0, 5.0) == [] and turns.left(505.0) == 30, "the image was there first"
    assert turns.due(batch, 529.0, 5.0) == [] and turns.due(batch, 531.0, 5.0) == [answer]
    turns.charge([answer], 8.0)
    assert turns.due(batch, 531.0, 5.0) == [] and turns.left(540.0) == 21
    turns.remove(answer)
    assert turns.left(560.0) == float("inf")
    turns.charge(batch, 600.0)
    assert turns.longest_gap == 26 and not turns.broken
    assert turns.costs.predict(("draw", "k"), 1) == 600, "the step as a whole is what is learned"


def test_who_comes_in_the_middle_of_a_step_goes_first_if_it_would_be_his_turn() -> None:
    turns = GapLimiter(ByPriority(), max_gap_ms=30)
    turns.add(image := job("draw"))
    image.pauses = True
    batch = turns.next()
    answer = Job("text", None, Request(user="bob", priority="interactive"), seed=0)
    answer.key, answer.streams = "k", True
    turns.add(answer)
    assert turns.due(batch, 20.0, 5.0) == [answer]
    turns.charge([answer], 9.0)
    assert turns.due(batch, 21.0, 5.0) == [], "from then on as all others"


def test_who_had_more_than_his_share_waits_with_a_new_one() -> None:
    turns = GapLimiter(FairScheduler(), max_gap_ms=30)
    turns.add(image := job("draw"))
    image.pauses = True
    batch = turns.next()
    turns.add(first := job("text", "bob", streams=True))
    turns.charge([first], 900.0)
    turns.add(second := job("text", "bob", streams=True))
    assert turns.due(batch, 22.0, 5.0) == []
    assert second in turns.due(batch, 47.0, 5.0), "but nobody for longer than the cap"


def test_a_part_longer_than_the_cap_is_told_and_pauses_are_not_wasted_for_it() -> None:
    turns = GapLimiter(FairScheduler(), max_gap_ms=30)
    turns.add(image := job("draw"))
    image.pauses = True
    turns.add(answer := job("text", "bob", streams=True))
    batch = [image]
    assert turns.next() and turns.due(batch, 2.0, 200.0) == [], "half of the cap is waited at least"
    assert turns.due(batch, 202.0, 200.0) == [answer]
    assert turns.broken == {"draw": 1} and turns.longest_gap == 202


def test_how_long_the_next_quantum_may_take() -> None:
    turns = GapLimiter(FairScheduler(), max_gap_ms=100)
    turns.add(job("embed"))
    run(turns, COST, 2)
    assert turns.room is None
    turns.add(job("text", "bob", streams=True))
    rooms = []
    for _ in range(20):
        batch = turns.next()
        rooms.append((batch[0].runner, turns.room))
        turns.charge(batch, COST[batch[0].runner][0])
    assert set(rooms) == {("text", None), ("embed", 100)}


def test_a_policy_may_care_for_no_gap() -> None:
    turns = GapLimiter(Fifo(), max_gap_ms=1)
    first, answer = job("embed"), job("text", streams=True)
    turns.add(first)
    turns.add(answer)
    assert run(turns, COST, 5) == [[first]] * 5 and not turns.broken


def test_the_cap_holds_under_other_policies() -> None:
    turns = GapLimiter(ByPriority(), max_gap_ms=65)
    for one in [job("draw") for _ in range(8)] + [job("text", streams=True)]:
        turns.add(one)
    batches = run(turns, COST, 100)
    assert max(gaps(batches, COST)) <= 65


def test_costs_are_learned_on_the_way() -> None:
    turns = GapLimiter(FairScheduler())
    turns.add(job("embed"))
    run(turns, COST, 3)
    assert turns.costs.predict(("embed", "k"), 1) == 60
