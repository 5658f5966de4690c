"""Figures of answered questions: retrieval, answers, abstention, calibration, faithfulness and time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from statistics import median

from mmgen.evaluation.rag_outcomes import RagOutcome
from mmgen.training.eval.qa_metrics import auroc, calibration_error

RIGHT = 0.5
"""Token F1 from which an answer counts as right."""
Figures = dict[str, float]


def of(outcomes: Sequence[RagOutcome], k: int) -> Figures:
    """Figures by name; what cannot be told from these questions is left out.

    hit@k, MRR and nDCG@k (binary grades, against the best order of what was retrieved) are of the answerable questions; EM and
    F1 count an abstention as 0, "F1 where answered" leaves it out. An answer is right from token F1 0.5 on. "answered" and
    "refused" are the shares of answerable questions that got an answer, and of the others that got none; AUROC tells how well
    the confidence parts both. "faithful" is the share of answers whose numbers and names all stand in the passages read or the
    question. Times are milliseconds.
    """
    there, nowhere = [one for one in outcomes if one.answerable], [one for one in outcomes if not one.answerable]
    answered = [one for one in outcomes if not one.abstained]
    figures: Figures = {"questions": len(outcomes), "answerable": len(there)}
    if there:
        figures |= {
            f"hit@{k}": _mean([float(bool(one.relevant)) for one in there]),
            f"MRR@{k}": _mean([1 / one.relevant[0] if one.relevant else 0.0 for one in there]),
            f"nDCG@{k}": _mean([_ndcg(one.relevant) for one in there]),
            "EM": _mean([0.0 if one.abstained else one.exact for one in there]),
            "F1": _mean([0.0 if one.abstained else one.f1 for one in there]),
            "answered": _mean([float(not one.abstained) for one in there]),
        }
        if any(not one.abstained for one in there):
            figures["F1 where answered"] = _mean([one.f1 for one in there if not one.abstained])
    if nowhere:
        figures["refused"] = _mean([float(one.abstained) for one in nowhere])
    if there and nowhere:
        figures["AUROC answerable"] = auroc([one.confidence for one in there], [one.confidence for one in nowhere])
    figures["calibration error"] = calibration_error([one.confidence for one in outcomes], [right(one) for one in outcomes])
    if answered:
        figures["precision"] = _mean([right(one) for one in answered])
        figures["faithful"] = _mean([float(not one.unsupported) for one in answered])
    times = sorted(one.milliseconds["total"] for one in outcomes)
    return figures | {"ms median": median(times), "ms p95": times[min(len(times) - 1, int(0.95 * len(times)))]}


def right(one: RagOutcome) -> float:
    """1 where the answer, or the guess that was not given, is right."""
    return float(one.answerable and one.f1 >= RIGHT)


def risk_coverage(outcomes: Sequence[RagOutcome]) -> list[tuple[float, float]]:
    """(share answered, share wrong among them), from the most confident answer to all (El-Yaniv and Wiener 2010)."""
    ordered = sorted(outcomes, key=lambda one: -one.confidence)
    wrong, points = 0.0, []
    for count, one in enumerate(ordered, 1):
        wrong += 1 - right(one)
        if count == len(ordered) or one.confidence > ordered[count].confidence:
            points.append((count / len(ordered), wrong / count))
    return points


def difference(
    ours: Sequence[RagOutcome], theirs: Sequence[RagOutcome], value: Callable[[RagOutcome], float], seed: int = 0
) -> tuple[float, float, float]:
    """The mean difference of a value over the questions that both were asked, and its 95% interval by 1,000 bootstraps."""
    other = {one.question: one for one in theirs}
    deltas = [value(one) - value(other[one.question]) for one in ours if one.question in other]
    rng = random.Random(seed)
    means = sorted(_mean(rng.choices(deltas, k=len(deltas))) for _ in range(1000))
    return _mean(deltas), means[25], means[974]


def _ndcg(ranks: Sequence[int]) -> float:
    """Binary grades; the best order has all that were found first."""
    best = sum(1 / math.log2(rank + 1) for rank in range(1, len(ranks) + 1))
    return sum(1 / math.log2(rank + 1) for rank in ranks) / best if best else 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
