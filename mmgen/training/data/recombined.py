"""Unanswerable questions for calibration and held-out figures, made otherwise than those of training (unanswerable.py).

    splice     what a question begins with, and what another one of the same title ends with, from the same preposition on
    condition  a condition that no passage speaks of
    besides    the question, but for the answer that it has

Some remain answerable (a spliced end may fit); figures on them are lower bounds.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from mmgen.training.data.qa_data import Question

PREPOSITIONS = "in on at of from to by for with during after before between into through under than".split()  # noqa: SIM905
LAST = re.compile(rf"\s(?:{'|'.join(PREPOSITIONS)})\s(?!.*\s(?:{'|'.join(PREPOSITIONS)})\s)")
CONDITIONS = (
    "in 1897", "in Brazil", "according to Charles Darwin", "before 1650", "in the Antarctic", "during the reign of Louis XIV",
    "after 2016", "in Jane Austen's view",
)  # fmt: skip


def recombined(questions: Sequence[Question], rng: random.Random) -> list[Question]:
    """One of each question, half of them spliced."""
    titles: dict[str, list[str]] = defaultdict(list)
    for question in questions:
        titles[question.title].append(_bare(question.text))
    return [_changed(q, rng.choice(("splice", "splice", "condition", "besides")), titles[q.title], rng) for q in questions]


def _changed(question: Question, kind: str, others: Sequence[str], rng: random.Random) -> Question:
    text = _bare(question.text)
    if kind == "besides":
        return replace(question, text=f"Besides {question.answers[-1]}, {text[:1].lower()}{text[1:]}?", kind=kind)
    if kind == "splice" and (spliced := _spliced(text, others, rng)):
        return replace(question, text=f"{spliced}?", kind=kind)
    return replace(question, text=f"{text} {rng.choice(CONDITIONS)}?", kind="condition")


def _spliced(text: str, others: Sequence[str], rng: random.Random) -> str | None:
    cut = LAST.search(text)
    if cut is None:
        return None
    for other in (rng.choice(others) for _ in range(20)):
        end = LAST.search(other)
        if end and end.group() == cut.group() and other[end.start() :] != text[cut.start() :]:
            return text[: cut.start()] + other[end.start() :]
    return None


def _bare(text: str) -> str:
    return text.strip().rstrip("?").strip()
