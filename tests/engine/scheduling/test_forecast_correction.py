import random

import pytest

from mmgen.engine.scheduling.forecast_correction import KINDS, LATELY, MOST, FluidEstimate, ForecastCorrection


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_is_known_at_first(clock: Clock) -> None:
    correction = ForecastCorrection(clock)
    correction.count(5)
    clock.now = 100.0
    assert correction.expect("draw", FluidEstimate(1.0, 1.0, 2.0, 4.0)) == 2.0


def test_it_finds_what_was_behind(clock: Clock) -> None:
    """Of the way from 2 to 4 seconds a half, and a tenth of the job's work for each job that there was lately."""
    correction, rng = ForecastCorrection(clock), random.Random(0)
    for _ in range(300):
        alone, lately = rng.uniform(0.5, 2.0), rng.uniform(0.0, 20.0)
        emptying = alone * rng.uniform(1.0, 3.0)
        steady = emptying * rng.uniform(1.0, 4.0)
        took = emptying + 0.5 * (steady - emptying) + 0.1 * lately * alone
        correction.learn("draw", FluidEstimate(alone, alone, emptying, steady), lately, took)
    assert correction._fits["draw"].solve() == (pytest.approx(0.5, abs=0.02), pytest.approx(0.1, abs=0.005))
    correction.count(10)
    clock.now = 100.0
    assert correction.expect("draw", FluidEstimate(1.0, 1.0, 2.0, 4.0)) == pytest.approx(4.0, rel=0.02)
    assert correction.expect("talk", FluidEstimate(1.0, 1.0, 2.0, 4.0)) == 2.0


@pytest.mark.parametrize("took", [0.0, 1e9])
def test_what_is_learned_is_bounded(clock: Clock, took: float) -> None:
    """Never less than alone, nor than the least."""
    correction = ForecastCorrection(clock)
    for _ in range(10):
        correction.learn("draw", FluidEstimate(1.0, 1.0, 2.0, 4.0), 1.0, took)
    correction.count(1)
    clock.now = 100.0
    expected = correction.expect("draw", FluidEstimate(1.0, 1.5, 2.0, 4.0))
    assert 1.5 <= expected <= 4.0 + MOST


def test_the_jobs_lately_fade(clock: Clock) -> None:
    correction = ForecastCorrection(clock)
    correction.count(8)
    clock.now = 20 * LATELY
    assert correction.lately() == pytest.approx(8.0)
    correction.count(0)
    clock.now += LATELY
    assert correction.lately() == pytest.approx(8 / 2.71828, rel=1e-4)


def test_kinds_are_forgotten(clock: Clock) -> None:
    correction = ForecastCorrection(clock)
    for kind in range(KINDS + 10):
        correction.learn(kind, FluidEstimate(1.0, 1.0, 1.0, 1.0), 0.0, 1.0)
    assert len(correction._fits) == KINDS and 9 not in correction._fits
    correction.learn("empty", FluidEstimate(0.0, 0.0, 0.0, 0.0), 0.0, 1.0)
    assert "empty" not in correction._fits
