"""Question answering metrics: exact match, token F1, AUROC and reliability (calibration)."""

from __future__ import annotations

from collections.abc import Sequence

from mmgen.models.reader.answer_match import exact_match, f1

__all__ = ["auroc", "calibration_error", "exact_match", "f1", "reliability", "risk_coverage"]


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """P(a positive scores above a negative), ties counted half: the Mann-Whitney statistic; 0 to 1."""
    ranked = sorted([(score, 1) for score in positive] + [(score, 0) for score in negative])
    total, first = 0.0, 0
    while first < len(ranked):
        last = first
        while last < len(ranked) and ranked[last][0] == ranked[first][0]:
            last += 1
        ones = sum(label for _, label in ranked[first:last])
        total += ones * (first + 1 + last) / 2  # the mean rank of a tie
        first = last
    n = len(positive)
    return (total - n * (n + 1) / 2) / (n * len(negative))


def reliability(confidences: Sequence[float], right: Sequence[float], bins: int = 10) -> list[tuple[float, float, int]]:
    """(mean confidence, share right, count) of every filled bin of equal width."""
    groups: dict[int, list[tuple[float, float]]] = {}
    for confidence, truth in zip(confidences, right, strict=True):
        groups.setdefault(min(bins - 1, int(confidence * bins)), []).append((confidence, truth))
    return [
        (sum(c for c, _ in rows) / len(rows), sum(t for _, t in rows) / len(rows), len(rows))
        for _, rows in sorted(groups.items())
    ]


def risk_coverage(confidences: Sequence[float], right: Sequence[float]) -> list[tuple[float, float]]:
    """(share answered, share of those that are wrong) where the most confident are answered first; El-Yaniv and Wiener 2010."""
    ranked = sorted(zip(confidences, right, strict=True), key=lambda one: -one[0])
    curve, wrong = [], 0.0
    for answered, (_, truth) in enumerate(ranked, 1):
        wrong += 1 - truth
        curve.append((answered / len(ranked), wrong / answered))
    return curve


def calibration_error(confidences: Sequence[float], right: Sequence[float], bins: int = 10) -> float:
    """Expected calibration error (Guo et al. 2017, eq. 3); 0 to 1."""
    rows = reliability(confidences, right, bins)
    return sum(abs(confidence - share) * count for confidence, share, count in rows) / max(1, len(confidences))
