"""Questions with an answer and the sentences around it, that support it or do not: what a cross-encoder learns to tell apart.

supported    a reference answer where it stands, as people asked or with a word, number or name changed on both sides
altered      the question changed so that the passage does not answer it, see unanswerable.py; the answer stays
confused     the answer of another question to the same passage, if it can be one that begins with the same word, of those
             rather one that has words in common with it
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from mmgen.models.reader.question_overlap import content_stems
from mmgen.models.reader.span_evidence import evidence
from mmgen.training.data.near_words import NearWords
from mmgen.training.data.qa_data import KINDS, Question
from mmgen.training.data.unanswerable import WordPool, has, put, renamed, unanswerable

ALTERED = 0.7
"""The share of altered ones among the unsupported."""
FOLLOWED = 0.5
"""The share of supported pairs in which a change is made on both sides, where it can be."""


@dataclass(frozen=True)
class EvidencePair:
    """A question, and an answer with its surroundings, as `span_evidence.evidence` writes them."""

    question: str
    text: str
    supported: bool


@dataclass
class EvidencePairs:
    """Draws pairs from questions."""

    questions: Sequence[Question]  # with an answer that stands in the passage
    pool: WordPool
    near_words: NearWords | None = None  # for changes of the kind "near"
    beside: dict[str, list[Question]] = field(default_factory=lambda: defaultdict(list))  # passage -> its questions

    @classmethod
    def of(cls, questions: Sequence[Question], near_words: NearWords | None = None) -> EvidencePairs:
        usable = [q for q in questions if span(q, random.Random(0))]
        made = cls(usable, WordPool.of(usable), near_words)
        for question in usable:
            made.beside[question.context].append(question)
        return made

    def draw(self, number: int, rng: random.Random) -> list[EvidencePair]:
        """One supported pair of a question, and one that is not where one can be made."""
        question = self.questions[number]
        if rng.random() < ALTERED:
            changed = [q for q in unanswerable(question, self.pool, rng, self.near_words) if q.kind != "removed"]
            if changed:
                wrong = shown(rng.choices(changed, [KINDS[q.kind] for q in changed])[0], rng, False)
                right = shown(question, rng, True)
                return [followed(right, wrong.question) if rng.random() < FOLLOWED else right, wrong]
        versions = list(renamed(question, self.pool, rng)) if rng.random() < FOLLOWED else []
        return [shown(versions[0] if versions else question, rng, True), *self._confused(question, rng)]

    def trick(self, trick: Question, answerable: Sequence[Question], rng: random.Random) -> list[EvidencePair]:
        """One that was written by hand, and an answerable one to the same passage: half of the time also written by hand, where
        there is one, and rather one that is like it."""
        wrong = shown(trick, rng, False)
        written = [q for q in answerable if q.context == trick.context]
        others = written if written and rng.random() < 0.5 else self.beside[trick.context]
        if not others:
            return [wrong]
        asked = content_stems(f"{trick.text} {trick.answers[0]}")
        near = [len(asked & content_stems(f"{q.text} {q.answers[0]}")) for q in others]
        return [shown(rng.choices(others, [1 + 2 * n for n in near])[0], rng, True), wrong]

    def _confused(self, question: Question, rng: random.Random) -> list[EvidencePair]:
        own = {answer.lower() for answer in question.answers}

        def differs(other: Question) -> bool:
            return all(a not in b and b not in a for a in own for b in (answer.lower() for answer in other.answers))

        others = [q for q in self.beside[question.context] if q is not question and differs(q)]
        first = question.text.split()[0].lower()
        alike = [q for q in others if q.text.lower().startswith(first)]
        if not others:
            return []
        asked, some = content_stems(question.text), alike or others
        common = [len(asked & content_stems(other.text)) for other in some]
        wrong = shown(rng.choices(some, [1 + 2 * n for n in common])[0], rng, False)
        return [EvidencePair(question.text, wrong.text, False)]


def followed(pair: EvidencePair, changed: str) -> EvidencePair:
    """A supported pair with the change that was made to its question made on both sides, where the text has the same words and
    the answer has not: so that an odd question alone tells nothing."""
    ours, theirs = pair.question.split(), changed.split()
    first = next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    rest = min(len(ours), len(theirs)) - first
    last = next((n for n in range(rest) if ours[-1 - n] != theirs[-1 - n]), rest)
    old, new = (" ".join(words[first : len(words) - last]).strip(".,;?!") for words in (ours, theirs))
    answer, _, around = pair.text.partition(" | ")
    if not old or not new or not has(around, old) or has(answer, old) or has(old, answer):
        return pair
    return EvidencePair(changed, f"{answer} | {put(around, old, new)}", True)


def shown(question: Question, rng: random.Random, supported: bool) -> EvidencePair:
    """A question with one of its answers."""
    found = span(question, rng)
    assert found is not None
    return EvidencePair(question.text, evidence(question.context, *found), supported)


def span(question: Question, rng: random.Random) -> tuple[int, int] | None:
    """Where one of its reference answers stands in the passage; None where none does."""
    literal = [(s, s + len(a.rstrip())) for s, a in zip(question.starts, question.answers, strict=True) if s >= 0 and a.strip()]
    return rng.choice(literal) if literal else None
