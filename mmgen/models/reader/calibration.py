"""From what the reader found in several passages to one answer and an honest probability that it is right."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mmgen.function_words import ARTICLES


@dataclass(frozen=True)
class SpanAnswer:
    """An answer in one passage: `text[start:end]`, and how sure the reader is of it there."""

    start: int
    end: int
    log_probability: float  # of this span in this passage, against its other spans and "not here"
    nowhere: float  # log-probability that the passage does not answer


def same_text(text: str) -> str:
    """What two answers share if they say the same: lower case, no punctuation, no articles (SQuAD's normalisation)."""
    bare = "".join(" " if c in string.punctuation else c for c in text.lower())
    return " ".join(word for word in bare.split() if word not in ARTICLES)


@dataclass(frozen=True)
class Candidate:
    """An answer text with all places that give it, best first. `places`: (passage number, what was found there)."""

    text: str
    score: float  # log of the summed weight of its places
    places: tuple[tuple[int, SpanAnswer], ...]


@dataclass(frozen=True)
class Calibration:
    """A logistic regression from `features` to the probability that the answer is right, fitted on held-out questions.

    Platt scaling (Platt 1999) over several features; the recipe `reader_calibration` fits it and draws the reliability plot.
    """

    weights: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0)
    bias: float = 0.0
    similarity: float = 0.0  # what cosine similarity adds to a place's log-probability when answers are ranked
    threshold: float = 0.5  # below it the answer is "not in the documents"

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
        """All answers, the likeliest first; places that say the same are counted together.

        Args:
            found: what the reader found in each passage.
            texts: the passages.
            similarities: cosine similarity of question and passage.
        """
        groups: dict[str, list[tuple[float, int, SpanAnswer]]] = {}
        for number, (answers, text) in enumerate(zip(found, texts, strict=True)):
            for one in answers:
                weight = one.log_probability + self.similarity * similarities[number]
                quote = text[one.start : one.end]
                groups.setdefault(same_text(quote) or quote, []).append((weight, number, one))
        out = []
        for places in groups.values():
            places.sort(key=lambda place: -place[0])
            _, number, best = places[0]
            top = places[0][0]
            score = top + math.log(sum(math.exp(weight - top) for weight, _, _ in places))
            out.append(Candidate(texts[number][best.start : best.end], score, tuple((n, f) for _, n, f in places)))
        return sorted(out, key=lambda candidate: -candidate.score)

    def features(self, candidates: Sequence[Candidate], similarities: Sequence[float]) -> tuple[float, ...]:
        """Of the best candidate: log-odds against "not here", similarity, lead over the second, and places that agree."""
        best = candidates[0]
        number, found = best.places[0]
        second = candidates[1].score if len(candidates) > 1 else best.score - 10.0
        return (
            max(-15.0, found.log_probability) - max(-15.0, found.nowhere),
            similarities[number],
            min(10.0, best.score - second),
            math.log(len(best.places)),
        )

    def confidence(self, features: Sequence[float]) -> float:
        """P(the answer is right), from 0 to 1."""
        z = self.bias + sum(w * x for w, x in zip(self.weights, features, strict=True))
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, z))))
