"""Merges the reader's spans of several passages into one answer, with a calibrated probability that it is right."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mmgen.deprecated import attributes
from mmgen.function_words import ARTICLES
from mmgen.models.reader.question_demands import unmet
from mmgen.models.reader.question_overlap import overlap

UNMET = 0.4
"""What is left of a confidence where the answer is a guess; so that it is below every calibrated threshold."""


@attributes(nowhere="no_answer")
@dataclass(frozen=True)
class SpanAnswer:
    """A span of one passage, `text[start:end]`, with its probability under the reader."""

    start: int
    end: int
    log_probability: float  # of this span, among all spans of the passage and "no answer"
    no_answer: float  # log-probability that the passage has no answer
    verified: float = 0.0  # log-odds that this span is the answer, once it is read; 0 from a reader without a verifier
    asked: str = ""  # the part of a long question that this span answers; empty: all of it


def same_text(text: str) -> str:
    """An answer as SQuAD's evaluation normalises it: lower case, no punctuation, no articles."""
    bare = "".join(" " if c in string.punctuation else c for c in text.lower())
    return " ".join(word for word in bare.split() if word not in ARTICLES)


@attributes(places="occurrences")
@dataclass(frozen=True)
class Candidate:
    """An answer text and all spans that have it, in any passage."""

    text: str
    score: float  # log-sum-exp of its spans' log-probabilities
    occurrences: tuple[tuple[int, SpanAnswer], ...]  # (index of the passage, span), the likeliest first


@dataclass(frozen=True)
class Calibration:
    """A logistic regression from `features` to the probability that the answer is right, fitted on held-out questions.

    Platt scaling (Platt 1999) over several features; fitted by mmgen/training/recipes/reader_calibration.py.
    """

    weights: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0)
    bias: float = 0.0
    similarity: float = 0.0  # weight of the passage's cosine similarity, which is added to a span's log-probability in ranking
    threshold: float = 0.5  # below this confidence the pipeline abstains

    @classmethod
    def of(cls, settings: dict[str, Any] | None) -> Calibration:
        values = dict(settings or {})
        values["weights"] = tuple(values.get("weights", cls.weights))
        return cls(**values)

    def settings(self) -> dict[str, Any]:
        return asdict(self)

    def candidates(
        self, found: Sequence[Sequence[SpanAnswer]], texts: Sequence[str], similarities: Sequence[float]
    ) -> list[Candidate]:
        """All answers, the likeliest first; spans with the same normalised text are one answer.

        Args:
            found: the reader's spans of each passage.
            texts: the passages.
            similarities: cosine similarity of the question and each passage.
        """
        groups: dict[str, list[tuple[float, int, SpanAnswer]]] = {}
        for number, (answers, text) in enumerate(zip(found, texts, strict=True)):
            for one in answers:
                weight = one.log_probability + self.similarity * similarities[number]
                quote = text[one.start : one.end]
                groups.setdefault(same_text(quote) or quote, []).append((weight, number, one))
        out = []
        for spans in groups.values():
            spans.sort(key=lambda span: -span[0])
            top, number, best = spans[0]
            score = top + math.log(sum(math.exp(weight - top) for weight, _, _ in spans))
            out.append(Candidate(texts[number][best.start : best.end], score, tuple((n, span) for _, n, span in spans)))
        return sorted(out, key=lambda candidate: -candidate.score)

    def features(
        self, candidates: Sequence[Candidate], similarities: Sequence[float], question: str = "", texts: Sequence[str] = ()
    ) -> tuple[float, ...]:
        """Inputs of the regression, of the best candidate: its log-odds against "no answer", its passage's similarity, its
        lead over the second candidate, the logarithm of how often it occurs; then the verifier's log-odds and five measures
        of what the question says and the passage does not, see question_overlap.py. As many as there are weights."""
        best = candidates[0]
        number, span = best.occurrences[0]
        second = candidates[1].score if len(candidates) > 1 else best.score - 10.0
        values: tuple[float, ...] = (
            max(-15.0, span.log_probability) - max(-15.0, span.no_answer),
            similarities[number],
            min(10.0, best.score - second),
            math.log(len(best.occurrences)),
        )
        if len(self.weights) > len(values):
            said = overlap(span.asked or question, texts[number], span.start, span.end)
            values += (max(-10.0, min(10.0, span.verified)), min(3, said.names), said.words, said.near, said.negation)
            values += (min(3, said.opposed),)
        return values[: len(self.weights)]

    def assessed(
        self, candidates: Sequence[Candidate], similarities: Sequence[float], question: str, texts: Sequence[str]
    ) -> float:
        """P(the best candidate is right), from 0 to 1; 0 without a candidate. Cut to UNMET of it where the question asks for
        more than the span shows, see question_demands.py."""
        if not candidates:
            return 0.0
        number, span = candidates[0].occurrences[0]
        sure = self.confidence(self.features(candidates, similarities, question, texts))
        return sure * UNMET if unmet(span.asked or question, texts[number], span.start, span.end) else sure

    def confidence(self, features: Sequence[float]) -> float:
        """P(the answer is right), from 0 to 1."""
        z = self.bias + sum(w * x for w, x in zip(self.weights, features, strict=True))
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, z))))
