"""Whether an answer is the right one: SQuAD's exact match and token F1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mmgen.models.reader.calibration import same_text


def exact_match(answer: str, references: Sequence[str]) -> float:
    """1 if the answer equals a reference after SQuAD's normalisation (Rajpurkar et al. 2016), else 0."""
    return float(any(same_text(answer) == same_text(reference) for reference in references))


def f1(answer: str, references: Sequence[str]) -> float:
    """Best token F1 over the references, SQuAD's way; 0 to 1."""
    return max((_f1(same_text(answer).split(), same_text(reference).split()) for reference in references), default=0.0)


def _f1(ours: list[str], theirs: list[str]) -> float:
    common = sum((Counter(ours) & Counter(theirs)).values())
    if not common:
        return float(ours == theirs)
    precision, recall = common / len(ours), common / len(theirs)
    return 2 * precision * recall / (precision + recall)
