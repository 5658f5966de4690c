"""Fits the reader's confidence on held-out questions, with and without the passages that answer them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.errors import BadRequest
from mmgen.interfaces import Document, Hit
from mmgen.library.document_library import DocumentLibrary
from mmgen.models.reader.calibration import Calibration, Candidate, SpanAnswer
from mmgen.training.data.qa_data import Question
from mmgen.training.eval.qa_metrics import f1, reliability, risk_coverage

if TYPE_CHECKING:
    from mmgen.clients.reader import ReaderClient
    from mmgen.runtime import Runtime

SIGNS = (1, 1, 1, 1, 1, -1, -1, -1, -1, -1)  # which way each feature speaks for an answer; 0: either
FEATURES = len(SIGNS)
RIGHT = 0.5  # token F1 from which an answer counts as correct


@dataclass(frozen=True)
class CalibrationQuestion:
    """A question, what was retrieved for it, and what the reader found there."""

    question: Question
    answerable: bool  # False: every passage that holds a reference answer was taken away, or it was made unanswerable
    texts: list[str]
    similarities: list[float]
    found: list[list[SpanAnswer]]

    def candidates(self, calibration: Calibration) -> list[Candidate]:
        return calibration.candidates(self.found, self.texts, self.similarities)


def index(rt: Runtime, questions: Sequence[Question], folder: Path) -> DocumentLibrary:
    """A store of all the questions' paragraphs, one document each."""
    import hashlib

    library = DocumentLibrary.open(rt, folder)
    library.add(documents=[
        Document(f"paragraph-{number}", text, "text", hashlib.sha256(text.encode()).hexdigest())
        for number, text in enumerate(dict.fromkeys(q.context for q in questions))
    ])  # fmt: skip
    return library


def ask(
    library: DocumentLibrary, reader: ReaderClient, question: Question, k: int, answerable: bool, every: bool = True
) -> CalibrationQuestion:
    """Retrieves and reads; the answering passages are left out where `answerable` is False, all of a question that was made
    unanswerable are read. `every`: the verifier judges all spans, as where the similarity's weight is still to be fitted; else
    the best one, as for a question that people ask."""
    removing = not answerable and not question.kind
    hits: list[Hit] = library.search(question.text, k=4 * k if removing else k)
    if removing:
        answers = [answer.lower() for answer in question.answers if answer.strip()]
        gold = question.context
        hits = [
            hit for hit in hits
            if hit.passage.text not in gold and not any(a in hit.passage.text.lower() for a in answers)
        ][:k]  # fmt: skip
    texts = [hit.passage.text for hit in hits]
    similarities = [hit.scores["dense"] for hit in hits]
    found = reader.read(question.text, texts)
    judged = (
        reader.judged(question.text, found, texts) if every else reader.best_judged(question.text, found, texts, similarities)
    )
    return CalibrationQuestion(question, answerable, texts, similarities, judged)


def fit(asked: Sequence[CalibrationQuestion], threshold: float = 0.5, similarity: float | None = None) -> Calibration:
    """The similarity weight with the best F1, unless it is given, then a logistic regression from features to "is right".

    Answerable and unanswerable questions weigh the same together, however many there are of each.
    """
    from sklearn.linear_model import LogisticRegression

    start = Calibration(weights=(1.0,) * FEATURES)
    grid = [replace(start, similarity=weight) for weight in (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)]
    answerable = [one for one in asked if one.answerable and any(one.found)]

    def quality(calibration: Calibration) -> float:
        return sum(f1(one.candidates(calibration)[0].text, one.question.answers) for one in answerable)

    best = max(grid, key=quality) if similarity is None else replace(start, similarity=similarity)
    rows, labels, weights = [], [], []
    share = len(answerable) / max(1, len(asked) - len(answerable))
    for one in asked:
        if not any(one.found):
            continue
        candidates = one.candidates(best)
        rows.append(best.features(candidates, one.similarities, one.question.text, one.texts))
        weights.append(1.0 if one.answerable else share)
        labels.append(int(one.answerable and f1(candidates[0].text, one.question.answers) >= RIGHT))
    if len(set(labels)) < 2:
        some = "all" if any(labels) else "none"
        raise BadRequest(f"{some} of {len(labels)} development answers are right; there is nothing to calibrate, train longer")
    columns = list(range(FEATURES))
    while True:  # a feature that would count the wrong way is noise
        model = LogisticRegression(C=1.0, max_iter=2000).fit([[row[c] for c in columns] for row in rows], labels, weights)
        fitted = {column: round(float(weight), 5) for column, weight in zip(columns, model.coef_[0], strict=True)}
        columns = [column for column in columns if fitted[column] * SIGNS[column] >= 0]
        if len(columns) == len(fitted):
            break
    every = tuple(fitted.get(column, 0.0) for column in range(FEATURES))
    return replace(best, weights=every, bias=round(float(model.intercept_[0]), 5), threshold=threshold)


THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)


def by_threshold(asked: Sequence[CalibrationQuestion], calibration: Calibration) -> dict[float, dict[str, float]]:
    """By threshold: the share of answerable questions that is answered, of these answers the right ones, and the share of the
    others that is refused."""
    told: list[tuple[bool, float, bool]] = []
    for one in asked:
        candidates = one.candidates(calibration)
        sure = calibration.assessed(candidates, one.similarities, one.question.text, one.texts)
        told.append((one.answerable, sure, bool(candidates) and f1(candidates[0].text, one.question.answers) >= RIGHT))
    answerable = sum(ok for ok, _, _ in told)
    out = {}
    for threshold in THRESHOLDS:
        given = [right for ok, sure, right in told if ok and sure >= threshold]
        refused = sum(sure < threshold for ok, sure, _ in told if not ok)
        shares = len(given) / max(1, answerable), sum(given) / max(1, len(given)), refused / max(1, len(told) - answerable)
        out[threshold] = dict(zip(("answered", "right of these", "refused of the others"), shares, strict=True))
    return out


def plot(confidences: Sequence[float], right: Sequence[float], path: Path) -> None:
    """The reliability diagram and, beside it, the risk-coverage curve, as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = reliability(confidences, right)
    figure, (axes, risky) = plt.subplots(1, 2, figsize=(9, 4.5))
    curve = risk_coverage(confidences, right)
    risky.plot([c for c, _ in curve], [r for _, r in curve])
    risky.set(xlabel="coverage: share of all that is answered", ylabel="risk: share of answers that are wrong", xlim=(0, 1))
    risky.set(ylim=(0, None), title="risk and coverage")
    axes.plot([0, 1], [0, 1], color="gray", linewidth=1, linestyle="--")
    axes.plot([c for c, _, _ in rows], [s for _, s, _ in rows], marker="o")
    for confidence, share, count in rows:
        axes.annotate(str(count), (confidence, share), textcoords="offset points", xytext=(6, -10), fontsize=7)
    axes.set(xlabel="confidence", ylabel="share of right answers", xlim=(0, 1), ylim=(0, 1), title="reliability")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)
