import math
from typing import Any

import pytest

from mmgen.evaluation import rag_figures
from mmgen.evaluation.rag_outcomes import RagOutcome


def outcome(number: int, answerable: bool, confidence: float, f1: float = 0.0, **more: Any) -> RagOutcome:
    values: dict[str, Any] = {
        "id": str(number), "question": f"q{number}", "answerable": answerable, "relevant": [], "text": "", "exact": f1,
        "abstained": confidence < 0.5, "confidence": confidence, "f1": f1, "unsupported": [], "milliseconds": {"total": number},
    }  # fmt: skip
    return RagOutcome(**{**values, **more})


EVERY = [
    outcome(1, True, 0.9, 1.0, relevant=[1, 3]),
    outcome(2, True, 0.8, 0.2, relevant=[2], unsupported=["1999"]),
    outcome(3, True, 0.4, 1.0),
    outcome(4, False, 0.6),
    outcome(5, False, 0.1),
]


def test_by_hand() -> None:
    found = rag_figures.of(EVERY, 5)
    assert found["questions"] == 5 and found["answerable"] == 3
    assert found["hit@5"] == pytest.approx(2 / 3) and found["MRR@5"] == pytest.approx((1 + 1 / 2) / 3)
    first = (1 + 1 / 2) / (1 + 1 / math.log2(3))
    assert found["nDCG@5"] == pytest.approx((first + 1 / math.log2(3)) / 3)
    assert found["EM"] == found["F1"] == pytest.approx(1.2 / 3), "what was not answered counts nothing"
    assert found["F1 where answered"] == pytest.approx(0.6) and found["answered"] == pytest.approx(2 / 3)
    assert found["refused"] == 0.5 and found["AUROC answerable"] == pytest.approx(5 / 6)
    assert found["precision"] == pytest.approx(1 / 3) and found["faithful"] == pytest.approx(2 / 3)
    assert found["ms median"] == 3 and found["ms p95"] == 5
    assert found["calibration error"] == pytest.approx((0.1 + 0.8 + 0.6 + 0.6 + 0.1) / 5)


def test_what_cannot_be_told_is_left_out() -> None:
    assert not {"refused", "AUROC answerable"} & rag_figures.of(EVERY[:3], 5).keys()
    assert not {"hit@5", "EM", "AUROC answerable", "precision"} & rag_figures.of(EVERY[4:], 5).keys()


def test_risk_grows_with_coverage() -> None:
    assert rag_figures.risk_coverage(EVERY) == [(0.2, 0.0), (0.4, 0.5), (0.6, pytest.approx(2 / 3)), (0.8, 0.5), (1.0, 0.6)]
    same = [outcome(1, True, 0.5, 1.0), outcome(2, True, 0.5)]
    assert rag_figures.risk_coverage(same) == [(1.0, 0.5)], "equal confidences are answered together"


def test_differences_are_of_pairs() -> None:
    better = [outcome(number, True, 0.9, 1.0) for number in range(1, 5)]
    mean, low, high = rag_figures.difference(better, EVERY, lambda one: one.f1)
    assert mean == pytest.approx((0 + 0.8 + 0 + 1) / 4) and 0 <= low <= mean <= high <= 1
