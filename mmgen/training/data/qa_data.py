"""Extractive question answering data: reading, context windows, hard negatives, batches."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmgen.errors import BadRequest, NotFound
from mmgen.models.lm.tokenizer import TokenizedText, Tokenizer


@dataclass
class Question:
    """A question, its gold passage and every reference answer."""

    id: str
    title: str
    text: str
    context: str
    answers: list[str]
    starts: list[int]  # character offset of each answer in the context; -1: not a literal span
    source: str  # which data set
    kind: str = ""  # what makes it unanswerable from this passage, see unanswerable.py; `answers` are then wrong ones


def read_questions(folder: Path, source: str) -> list[Question]:
    """A data set by name, such as `squadshifts/new_wiki`, from `folder/NAME.jsonl.gz`."""
    path = folder / f"{source}.jsonl.gz"
    if not path.is_file():
        raise NotFound(f"{path} does not exist; give --data the folder that holds squadshifts/, qamr/ and the others")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        Question(row["id"], row["title"], row["question"], row["context"], row["answers"], row["answer_starts"], source)
        for row in rows
        if "context" in row
    ]


def titles_of(questions: Sequence[Question], share: float, skip: float = 0.0) -> set[str]:
    """A fixed share of the titles, the same on every machine: those with the smallest hashes, after the first `skip`."""
    titles = sorted({q.title for q in questions}, key=lambda title: hashlib.sha256(title.encode()).hexdigest())
    first, last = round(skip * len(titles)), round((skip + share) * len(titles))
    return set(titles[first:last])


@dataclass
class Corpus:
    """Tokenised contexts and questions; every text once."""

    questions: list[Question]
    contexts: list[str] = field(default_factory=list)
    context_of: list[int] = field(default_factory=list)  # question -> context
    context_tokens: list[TokenizedText] = field(default_factory=list)
    question_tokens: list[TokenizedText] = field(default_factory=list)
    negatives: list[list[int]] = field(default_factory=list)  # question -> hard negatives
    _answers: dict[tuple[int, str], list[tuple[int, str]]] = field(default_factory=dict)  # (context, first word) -> answers
    changed: list[list[int]] = field(default_factory=list)  # question -> its altered versions, at the end of `questions`

    @classmethod
    def build(cls, questions: list[Question], tokenizer: Tokenizer, changed: Sequence[Sequence[Question]] = ()) -> Corpus:
        """`changed`: each question's altered versions, as unanswerable.py makes them; none where it is empty."""
        every, versions = list(questions), []
        for some in changed or [()] * len(questions):
            versions.append(list(range(len(every), len(every) + len(some))))
            every += some
        numbers: dict[str, int] = {}
        context_of = [numbers.setdefault(q.context, len(numbers)) for q in every]
        contexts = list(numbers)
        tokens = tokenizer.encode_many(contexts), tokenizer.encode_many([q.text for q in every])
        return cls(every, contexts, context_of, *tokens, changed=versions)

    @property
    def asked(self) -> int:
        """Questions as people wrote them; they come first."""
        return len(self.changed)

    @property
    def read(self) -> int:
        """Contexts as people wrote them; they come first."""
        return 1 + max(self.context_of[: self.asked], default=-1)

    def plausible(self, context: int, asking: str, rng: random.Random) -> tuple[int, int] | None:
        """Tokens of an answer to another question of that passage that begins with the same word."""
        if not self._answers:
            for number in range(self.asked):
                question, place = self.questions[number], self.context_of[number]
                key = place, question.text.split()[0].lower()
                self._answers.setdefault(key, []).extend(
                    (s, a) for s, a in zip(question.starts, question.answers, strict=True) if s >= 0 and a.strip()
                )
        some = self._answers.get((context, asking))
        return answer_tokens(self.context_tokens[context], *rng.choice(some)) if some else None

    def find_negatives(self, question_vectors: Any, context_vectors: Any, most: int = 8) -> None:
        """The nearest contexts that contain none of the reference answers: hard negatives from retrieval.

        Vectors of the questions as they were asked, (Q, D), and of their contexts, (C, D); dense or sparse.
        """
        lowered = [text.lower() for text in self.contexts]
        for first in range(0, self.asked, 512):
            product = question_vectors[first : first + 512] @ context_vectors.T
            scores = product if isinstance(product, np.ndarray) else product.toarray()
            nearest = np.argsort(-scores, axis=1)[:, : 3 * most]
            for row, order in enumerate(nearest):
                q = first + row
                answers = [a.lower() for a in self.questions[q].answers]
                fit = [int(c) for c in order if c != self.context_of[q] and not any(a in lowered[c] for a in answers)]
                self.negatives.append(fit[:most])


@dataclass(frozen=True)
class ReaderExample:
    """One row of a batch as indices only, so that a whole run can be planned in advance."""

    question: int
    context: int
    first: int  # window into the context's tokens
    last: int
    start: int  # answer's first token within the context, or -1: not in this window
    end: int  # its last token
    wrong: bool = False  # the tokens are no answer, only plausible: this passage has none

    def size(self) -> int:
        return self.last - self.first


def answer_tokens(tokens: TokenizedText, start: int, answer: str) -> tuple[int, int] | None:
    """Characters to tokens: the first and last token that overlap `[start, start + len(answer))`."""
    end = start + len(answer.rstrip())
    inside = [i for i, (a, b) in enumerate(tokens.spans) if a < end and b > start]
    return (inside[0], inside[-1]) if inside else None


KINDS = {"entity": 3.0, "number": 3.0, "antonym": 2.0, "word": 2.0, "near": 3.0, "negation": 1.0, "removed": 1.0}
"""Weights with which an altered version of a question is drawn."""


def plan_epoch(
    corpus: Corpus,
    rng: random.Random,
    window: int,
    share: dict[str, float],
    negatives: float,
    longest: int,
    altered: float = 0.0,
) -> list[ReaderExample]:
    """One epoch's examples: a window around one reference answer each, for some a passage without any, and for a share
    `altered` a version of the question that its passage does not answer. Half of those that can be renamed are."""
    out: list[ReaderExample] = []
    for number, question in enumerate(corpus.questions[: corpus.asked]):
        if rng.random() >= share.get(question.source, 1.0):
            continue
        versions = corpus.changed[number]
        renamed = [n for n in versions if not corpus.questions[n].kind]
        answered = rng.choice(renamed) if renamed and rng.random() < 0.5 else number
        span = _span(corpus, answered, rng)
        if span is None or span[1] - span[0] >= longest:
            continue
        out.append(_window(corpus, answered, window, span, rng))
        if rng.random() < negatives:
            out.append(_negative(corpus, number, _span(corpus, number, rng) or span, window, rng))
        impossible = [n for n in versions if corpus.questions[n].kind]
        if impossible and rng.random() < altered:
            weights = [KINDS[corpus.questions[n].kind] for n in impossible]
            out.append(_impossible(corpus, rng.choices(impossible, weights)[0], window, longest, rng))
    return out


def _span(corpus: Corpus, number: int, rng: random.Random) -> tuple[int, int] | None:
    """The tokens of one of its reference answers."""
    question = corpus.questions[number]
    literal = [(s, a) for s, a in zip(question.starts, question.answers, strict=True) if s >= 0 and a.strip()]
    return answer_tokens(corpus.context_tokens[corpus.context_of[number]], *rng.choice(literal)) if literal else None


def _impossible(corpus: Corpus, number: int, window: int, longest: int, rng: random.Random) -> ReaderExample:
    """A question that its passage does not answer, with the answer that it seems to have."""
    span = _span(corpus, number, rng)
    if span is None:
        return _elsewhere(corpus, number, corpus.context_of[number], window, rng)
    example = _window(corpus, number, window, span, rng)
    short = span[1] - span[0] < longest
    return replace(example, wrong=True) if short else replace(example, start=-1, end=-1)


def _elsewhere(corpus: Corpus, number: int, context: int, window: int, rng: random.Random) -> ReaderExample:
    """A passage without an answer; where it answers a like question, that answer is what is plausible."""
    length = len(corpus.context_tokens[context].ids)
    first = rng.randint(0, max(0, length - window))
    last = min(length, first + window)
    words = corpus.questions[number].text.split()
    span = corpus.plausible(context, words[0].lower() if words else "", rng)
    if span is None or span[0] < first or span[1] >= last or span[1] - span[0] >= 12:
        return ReaderExample(number, context, first, last, -1, -1)
    return ReaderExample(number, context, first, last, *span, wrong=True)


def _window(corpus: Corpus, question: int, window: int, span: tuple[int, int], rng: random.Random) -> ReaderExample:
    context = corpus.context_of[question]
    length = len(corpus.context_tokens[context].ids)
    low = max(0, min(span[1] - window + 1, length - window))
    high = min(span[0], max(0, length - window))
    first = rng.randint(min(low, high), high)
    return ReaderExample(question, context, first, min(length, first + window), *span)


def _negative(corpus: Corpus, number: int, span: tuple[int, int], window: int, rng: random.Random) -> ReaderExample:
    """The same passage with the answer out of sight where it is long enough (one in three), else a retrieved one."""
    own = corpus.context_of[number]
    answers = {a.lower() for a in corpus.questions[number].answers}
    if span[0] >= window // 2 and rng.random() < 1 / 3:
        text, spans = corpus.contexts[own].lower(), corpus.context_tokens[own].spans
        first, last = max(0, span[0] - window), span[0]
        if not any(a in text[spans[first][0] : spans[last - 1][1]] for a in answers):
            return ReaderExample(number, own, first, last, -1, -1)
    pool = corpus.negatives[number] if corpus.negatives and corpus.negatives[number] else None
    return _elsewhere(corpus, number, rng.choice(pool) if pool else rng.randrange(corpus.read), window, rng)


def plan_batches(examples: list[ReaderExample], corpus: Corpus, budget: int, rng: random.Random) -> list[list[ReaderExample]]:
    """Examples of like length together, at most `budget` padded tokens a batch; batches in random order.

    Rows with long answers keep to themselves: one of them would pad the answers of a whole batch.
    """
    if budget < 600:
        raise BadRequest(f"batch_tokens is {budget}; a batch holds at least 600 tokens")

    def length(e: ReaderExample) -> int:
        return e.size() + len(corpus.question_tokens[e.question].ids) + e.end - e.start + 4

    shuffled = sorted(examples, key=lambda e: (e.end - e.start >= 6, length(e) + rng.random() * 16))
    batches: list[list[ReaderExample]] = [[]]
    longest = 0
    for example in shuffled:
        longest = max(longest, length(example))
        if longest * (len(batches[-1]) + 1) > budget:
            batches.append([])
            longest = length(example)
        batches[-1].append(example)
    rng.shuffle(batches)
    return batches


def without_overlap(questions: list[Question], held: list[Question], words: int = 13) -> list[Question]:
    """The questions whose passage shares no run of 13 words with a held-out passage."""

    def runs(text: str) -> set[int]:
        parts = text.lower().split()
        return {hash(tuple(parts[i : i + words])) for i in range(len(parts) - words + 1)}

    seen = set().union(*(runs(text) for text in {q.context for q in held}))
    clean = {text: seen.isdisjoint(runs(text)) for text in {q.context for q in questions}}
    return [q for q in questions if clean[q.context]]
