"""Laws whose numbers are known are found again."""

import numpy as np
import pytest

from mmgen.errors import BadRequest
from mmgen.training.recipes import power_laws
from mmgen.training.recipes.power_laws import PowerLaw, _objective

TRUE = PowerLaw(1.7, 400.0, 0.34, 410.0, 0.28)


def runs(noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sizes, tokens = np.meshgrid(np.geomspace(1e5, 1e8, 6), np.geomspace(1e6, 1e10, 6))
    rng = np.random.default_rng(0)
    return sizes.ravel(), TRUE(sizes, tokens).ravel() * np.exp(noise * rng.standard_normal(36)), tokens.ravel()


def test_exact_losses_give_the_law() -> None:
    sizes, loss, tokens = runs(0.0)
    found = power_laws.fit(sizes, loss, tokens, resamples=0).law
    for name in ("E", "A", "alpha", "B", "beta"):
        assert getattr(found, name) == pytest.approx(getattr(TRUE, name), rel=0.03)
    assert found.best_share() == pytest.approx(0.28 / 0.62, rel=0.02)


def test_intervals_hold_the_exponents() -> None:
    sizes, loss, tokens = runs(0.005)
    loss[7] *= 1.3  # a run that went wrong
    found = power_laws.fit(sizes, loss, tokens, resamples=60)
    for name in ("alpha", "beta"):
        low, high = getattr(found.low, name), getattr(found.high, name)
        assert low < getattr(TRUE, name) < high and high - low < 0.2
    assert [row[0] for row in power_laws.table(found)] == ["E", "A", "alpha", "B", "beta"]


def test_of_parameters_alone() -> None:
    sizes = np.geomspace(1e4, 1e8, 8)
    found = power_laws.fit(sizes, PowerLaw(2.0, 30.0, 0.25)(sizes), resamples=5)
    assert found.law.alpha == pytest.approx(0.25, rel=0.02) and pytest.approx(2.0, rel=0.03) == found.law.E
    assert [row[0] for row in power_laws.table(found)] == ["E", "A", "alpha"]


def test_an_exponent_that_was_not_found_is_shown() -> None:
    found = power_laws.fit([1e5, 1e6, 1e7], [4.5, 5.0, 5.6], resamples=3)  # larger is worse: too few tokens for it
    assert found.law.alpha == 0 and [row[0] for row in power_laws.table(found)] == ["E", "A", "alpha"]


def test_the_slope_is_the_objectives() -> None:
    x, y, theta = [np.array([1.0, 2.0, 3.0])], np.array([0.6, 0.5, 0.4]), np.array([-0.3, 0.2, 0.4])
    _, slope = _objective(theta, x, y)
    for number in range(3):
        step = np.zeros(3)
        step[number] = 1e-7
        numeric = (_objective(theta + step, x, y)[0] - _objective(theta - step, x, y)[0]) / 2e-7
        assert slope[number] == pytest.approx(numeric, rel=1e-4)


def test_too_few_runs() -> None:
    with pytest.raises(BadRequest, match="2 runs cannot tell a law of 3 numbers"):
        power_laws.fit([1, 2], [3, 2])
