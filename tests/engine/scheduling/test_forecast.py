import pytest

from mmgen.engine.job import Job, Request
from mmgen.engine.scheduling.cost_model import CostModel, Estimate
from mmgen.engine.scheduling.forecast import Forecast
from mmgen.errors import DeadlineExceeded


@pytest.fixture
def forecast() -> Forecast:
    """A quantum takes 100 ms, whatever the batch."""
    costs = CostModel()
    for size in (1, 2, 4, 64):
        costs.observe(("draw", "a"), size, 100)
        costs.observe(("draw", "b"), size, 100)
    return Forecast(costs)


def job(user: str = "ann", quanta: float | None = 10, key: str = "a", priority: str = "normal") -> Job:
    out = Job("draw", None, Request(user=user, priority=priority), seed=0)  # type: ignore[arg-type]
    out.key, out.expected_quanta = key, quanta
    return out


def test_alone(forecast: Forecast) -> None:
    estimate = forecast.of(job())
    assert estimate is not None and estimate.alone == estimate.least == estimate.expected == 1.0


def test_another_user_takes_half(forecast: Forecast) -> None:
    forecast.add(job("bob", 100, key="b"))
    estimate = forecast.of(job())
    assert estimate is not None and (estimate.alone, estimate.least, estimate.expected) == (1.0, 2.0, 2.0)
    forecast.weights["ann"] = 3.0
    weighted = forecast.of(job())
    assert weighted is not None and weighted.expected == pytest.approx(4 / 3)


def test_a_short_other_is_over_soon(forecast: Forecast) -> None:
    forecast.add(job("bob", 3, key="b"))
    estimate = forecast.of(job())
    assert estimate is not None and estimate.expected == pytest.approx(1.3)


def test_behind_ones_own(forecast: Forecast) -> None:
    """It may come first by its deadline; as it stands it comes last."""
    forecast.add(job(quanta=20, key="b"))
    estimate = forecast.of(job())
    assert estimate is not None and (estimate.least, estimate.expected) == (1.0, 3.0)


def test_who_shares_its_passes_costs_it_nothing(forecast: Forecast) -> None:
    forecast.add(job("bob", 10))
    estimate = forecast.of(job())
    assert estimate is not None and estimate.expected == pytest.approx(1.0)


def test_work_that_is_done_counts_no_more(forecast: Forecast) -> None:
    forecast.add(bobs := job("bob", 10, key="b"))
    assert forecast.todo() == pytest.approx(1.0)
    for _ in range(12):
        forecast.took(bobs)
    estimate = forecast.of(job())
    assert estimate is not None and estimate.expected == pytest.approx(1.0)
    assert forecast.todo() == 0.0
    forecast.remove(bobs)
    forecast.remove(bobs)
    assert not forecast._queues and not forecast._left and not forecast._groups


def test_jobs_end_earlier_than_they_could(forecast: Forecast) -> None:
    for _ in range(50):
        forecast.costs.observe_end("draw", 100, 20)
    estimate = forecast.of(job(quanta=100))
    assert estimate is not None and estimate.alone == pytest.approx(2.0)


def test_nothing_is_said_of_what_nobody_knows(forecast: Forecast) -> None:
    assert forecast.of(job(quanta=None)) is None
    forecast.add(job(quanta=None))
    unknown = job()
    unknown.runner = "text"
    assert forecast.of(unknown) is None and not forecast._queues


def test_who_ends_first(forecast: Forecast) -> None:
    """Both get half of the device, so that the one with 3 quanta is over after 6."""
    assert forecast.soonest() is None
    forecast.add(job("ann", 3))
    assert forecast.soonest() == pytest.approx(0.3)
    forecast.add(job("bob", 20, key="b"))
    assert forecast.soonest() == pytest.approx(0.6)


def test_what_was_learned_changes_neither_the_least_nor_who_is_refused(forecast: Forecast) -> None:
    now = 0.0
    forecast = Forecast(forecast.costs, lambda: now)
    forecast.add(job("bob", 100, key="b"))
    now = 100.0
    before, ahead = forecast.of(job()), forecast.ahead(job())
    assert before is not None and ahead is not None
    for _ in range(100):
        forecast.correction.learn(("draw", "normal"), ahead, 10.0, 20.0)
    after = forecast.of(job())
    assert after is not None and after.expected == pytest.approx(3.8, rel=0.01)
    assert (after.alone, after.least) == (before.alone, before.least)
    in_time, late = job(), job()
    in_time.request.deadline, late.request.deadline = now + 2.1, now + 1.9
    forecast.refuse_late(in_time, Estimate(10))
    assert in_time.expected_end == pytest.approx(now + after.expected)
    with pytest.raises(DeadlineExceeded, match=f"takes 2 s at least .* allow it {after.expected:.3g} s"):
        forecast.refuse_late(late, Estimate(10))


def test_only_who_ends_well_teaches(forecast: Forecast) -> None:
    for status, kinds in (("cancelled", 0), ("done", 1)):
        one = job()
        forecast.add(one, forecast.ahead(one))
        one.status = status  # type: ignore[assignment]
        forecast.remove(one)
        assert len(forecast.correction._fits) == kinds and not forecast._said


def test_those_there_take_turns_if_they_stay(forecast: Forecast) -> None:
    """Of one's own priority who shares its passes takes half of them, and another key's pass comes after each."""
    forecast.add(job(quanta=1))
    forecast.add(job(quanta=1, key="b"))
    ahead = forecast.ahead(job())
    assert ahead is not None
    assert ahead.emptying == ahead.alone == 1.0
    assert ahead.steady == pytest.approx(2 * 10 * 0.05 + 10 * 0.1)
