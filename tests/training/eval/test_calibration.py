"""Confidences that are too sure become what they are worth, in the same order."""

import random

import pytest

from mmgen.training.eval import calibration
from mmgen.training.eval.qa_metrics import calibration_error


def overconfident(seed: int, count: int = 2000) -> tuple[list[float], list[bool]]:
    """Right with probability q, said with three times its log odds."""
    chance, confidences, right = random.Random(seed), [], []
    for _ in range(count):
        q = chance.uniform(0.05, 0.95)
        confidences.append(1 / (1 + ((1 - q) / q) ** 3))
        right.append(chance.random() < q)
    return confidences, right


@pytest.mark.parametrize("way", [calibration.temperature_scaling, calibration.isotonic])
def test_error_falls_on_other_answers(way: object) -> None:
    fixed = way(*overconfident(0))  # type: ignore[operator]
    confidences, right = overconfident(1)
    truths = [float(one) for one in right]
    assert calibration_error(confidences, truths) > 0.12
    assert calibration_error([fixed(one) for one in confidences], truths) < 0.05
    found = [fixed(one) for one in sorted(confidences)]
    assert found == sorted(found) and min(found) >= 0 and max(found) <= 1


def test_isotonic_steps() -> None:
    fixed = calibration.isotonic([0.1, 0.2, 0.2, 0.3, 0.4], [False, True, False, False, True])
    assert [round(fixed(one), 6) for one in (0.0, 0.1, 0.2, 0.3, 0.4, 1.0)] == [0, 0, 0.333333, 0.333333, 1, 1]


def test_certain_confidences_stay_finite() -> None:
    fixed = calibration.temperature_scaling([0.0, 1.0, 1.0], [False, True, False])
    assert 0 <= fixed(0.0) < fixed(1.0) <= 1
