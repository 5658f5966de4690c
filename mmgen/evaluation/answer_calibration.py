"""How far a language model's confidence in its answers can be believed, and how right those are that it is surest of.

Two confidences: the likelihood of the answer's tokens, and what the model says when it is asked how sure it is (Lin et al.
2022, arXiv 2205.14334). Each is calibrated on the questions in even places and measured on the others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.evaluation.rag_figures import RIGHT
from mmgen.evaluation.rag_questions import RagQuestion
from mmgen.text_params import TextParams
from mmgen.training.eval import calibration
from mmgen.training.eval.calibration import Calibrator
from mmgen.training.eval.qa_metrics import auroc, calibration_error, f1, risk_coverage

if TYPE_CHECKING:
    from mmgen.clients.text import TextClient

SHORT = "{question}\nAnswer in a few words."
SURE = "How likely is it that your answer is right? Reply with a number from 0 to 100 alone."
NUMBER = re.compile(r"\d+(?:\.\d+)?")
MAX_TOKENS, SURE_TOKENS = 32, 12
LEAST = 4
"""Questions: two to fit by and two to measure on."""
COVERAGES = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class ConfidentAnswer:
    """An answer, and how sure the model is of it, 0 to 1."""

    question: str
    text: str
    right: bool  # token F1 of at least a half with a reference
    likelihood: float  # the geometric mean of its tokens' probabilities
    said: float | None  # None: no number from 0 to 100


def answered(client: TextClient, questions: Sequence[RagQuestion]) -> list[ConfidentAnswer]:
    """The likeliest answers, and what the model says of each. Raises BadRequest for questions whose answers are not known."""
    if without := next((one for one in questions if not one.answers), None):
        raise BadRequest(f"the question {without.question[:60]!r} has no answers; calibration needs to know what is right")
    talks = [[{"role": "user", "content": SHORT.format(question=one.question)}] for one in questions]
    answers = _greedy(client, talks, MAX_TOKENS)
    asked = [
        [*talk, {"role": "assistant", "content": text}, {"role": "user", "content": SURE}]
        for talk, (text, _) in zip(talks, answers, strict=True)
    ]
    said = [_share(text) for text, _ in _greedy(client, asked, SURE_TOKENS)]
    return [
        ConfidentAnswer(one.question, text, f1(text, one.answers) >= RIGHT, likelihood, sure)
        for one, (text, likelihood), sure in zip(questions, answers, said, strict=True)
    ]


def report(answers: Sequence[ConfidentAnswer]) -> dict[str, Any]:
    """Figures of the answers in odd places, of each confidence as it is and calibrated by those in even places.

    ECE (Guo et al. 2017) and Brier's score are better when less; AUROC tells how well right answers stand above wrong ones, and
    is left out where all are right or none is. "selective": the share of right answers among those that the model is surest
    of, by how many are answered. Raises BadRequest for too few questions.
    """
    if len(answers) < LEAST:
        raise BadRequest(f"{len(answers)} questions are too few to calibrate by half of them; give at least {LEAST}")
    fitted, measured = answers[::2], answers[1::2]
    found: dict[str, Any] = {
        "questions": len(answers),
        "right": fmean(one.right for one in answers),
        "measured": len(measured),
        "without a number": sum(one.said is None for one in answers),
        "confidences": {},
    }
    kinds: dict[str, Callable[[ConfidentAnswer], float]] = {
        "likelihood": lambda one: one.likelihood,
        "verbalised": lambda one: 0.5 if one.said is None else one.said,
    }
    for kind, confidence in kinds.items():
        known, truths = [confidence(one) for one in fitted], [one.right for one in fitted]
        ways: dict[str, Calibrator] = {
            "as it is": lambda one: one,
            "temperature": calibration.temperature_scaling(known, truths),
            "isotonic": calibration.isotonic(known, truths),
        }
        found["confidences"][kind] = {
            way: _figures([change(confidence(one)) for one in measured], [float(one.right) for one in measured])
            for way, change in ways.items()
        }
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """The report as a table."""
    told = [
        f"{found['questions']} questions, {100 * found['right']:.1f} % right; calibrated by half of them, measured on "
        f"{found['measured']}" + (f"; {found['without a number']} times no number" if found["without a number"] else ""),
        f"{'confidence':12} {'calibration':12} {'ECE':>6} {'Brier':>6} {'AUROC':>6}  right of the surest "
        + " ".join(f"{100 * share:.0f} %".rjust(6) for share in COVERAGES),
    ]
    for kind, ways in found["confidences"].items():
        for way, figures in ways.items():
            area = "     -" if figures["AUROC"] is None else f"{figures['AUROC']:6.3f}"
            shares = " ".join(f"{figures['selective'][f'{share:g}']:6.3f}" for share in COVERAGES)
            told.append(f"{kind:12} {way:12} {figures['ECE']:6.3f} {figures['Brier']:6.3f} {area}{'':22}{shares}")
    return told


def _figures(confidences: Sequence[float], right: Sequence[float]) -> dict[str, Any]:
    good = [one for one, truth in zip(confidences, right, strict=True) if truth]
    bad = [one for one, truth in zip(confidences, right, strict=True) if not truth]
    curve = risk_coverage(confidences, right)
    return {
        "ECE": calibration_error(confidences, right),
        "Brier": fmean((one - truth) ** 2 for one, truth in zip(confidences, right, strict=True)),
        "AUROC": auroc(good, bad) if good and bad else None,
        "selective": {f"{share:g}": 1 - next(risk for answered, risk in curve if answered >= share) for share in COVERAGES},
        "curve": curve,
    }


def _greedy(client: TextClient, talks: Sequence[Sequence[dict[str, str]]], most: int) -> list[tuple[str, float]]:
    """The likeliest text after each conversation, and the geometric mean of its tokens' probabilities."""
    from mmgen.runners.generation import TextRequest

    params, request = TextParams(strategy="greedy", max_tokens=most, logprobs=0), Request.new(priority="batch")
    handles = [client.submit(TextRequest(client.model.encode_chat(talk), params), request, seed=0) for talk in talks]
    try:
        texts = [handle.result().texts[0] for handle in handles]
    finally:
        request.cancel()
    return [(one.text.strip(), math.exp(fmean(choice.logprob for choice in one.choices))) for one in texts]


def _share(text: str) -> float | None:
    found = NUMBER.search(text)
    return None if found is None or float(found[0]) > 100 else float(found[0]) / 100
