import random

import pytest

from mmgen.training.eval.qa_metrics import auroc, calibration_error, reliability, risk_coverage


def test_auroc_equals_counting_pairs() -> None:
    rng = random.Random(0)
    positive = [rng.randint(0, 6) for _ in range(40)]
    negative = [rng.randint(0, 5) for _ in range(30)]
    pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positive for n in negative]
    assert auroc(positive, negative) == pytest.approx(sum(pairs) / len(pairs))
    assert auroc([2, 3], [0, 1]) == 1 and auroc([0], [1]) == 0


def test_risk_rises_with_coverage() -> None:
    assert risk_coverage([0.2, 0.9, 0.6], [0, 1, 1]) == [(1 / 3, 0.0), (2 / 3, 0.0), (1.0, pytest.approx(1 / 3))]


def test_reliability() -> None:
    confidences, right = [0.05, 0.05, 0.95, 1.0], [0, 1, 1, 1]
    assert reliability(confidences, right) == [
        (pytest.approx(0.05), 0.5, 2),
        (pytest.approx(0.975), 1.0, 2),
    ]
    assert calibration_error(confidences, right) == pytest.approx((0.45 * 2 + 0.025 * 2) / 4)
