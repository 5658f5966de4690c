"""Questions with passages and what is right of them: from a store's feedback, and general ones, which are shipped."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from mmgen.config import assets_dir
from mmgen.interfaces import Hit
from mmgen.library.document_library import DocumentLibrary
from mmgen.models.reader.answer_match import f1
from mmgen.stores.relational.documents import RelationalDocumentStore
from mmgen.stores.relational.feedback import Feedback

READ = 5
"""Passages of a question to a store, as many as are read by default."""
SAME = 0.5
"""F1 from which an answer counts as the one that was called wrong."""


@dataclass(frozen=True)
class ReadingRow:
    """One passage, and the span in it that is right, or wrong; where there is none, the passage does not answer."""

    question: str
    text: str
    span: tuple[int, int] | None = None  # characters of the passage
    wrong: bool = False


@dataclass(frozen=True)
class ReadingExample:
    """A question as it is answered: all passages that were found for it, and what its answer is measured by."""

    question: str
    texts: tuple[str, ...]
    similarities: tuple[float, ...]
    right: tuple[str, ...] = ()  # any of them; none: it should abstain, unless an answer is said to be wrong
    wrong: str = ""
    rows: tuple[ReadingRow, ...] = ()  # to learn from; without passages of which it is not known whether they answer

    def score(self, answer: str | None) -> float:
        """0 to 1: token F1 with a right answer; where there is none, whether it abstained; of an answer that is wrong while no
        right one is told, whether it is not that one."""
        if self.right:
            return 0.0 if answer is None else f1(answer, list(self.right))
        if self.wrong:
            return float(answer is None or f1(answer, [self.wrong]) < SAME)
        return float(answer is None)


def from_feedback(library: DocumentLibrary, store: RelationalDocumentStore, said: Feedback) -> ReadingExample:
    """What the store finds for the question now; the passage where the words stand is learned from even if it is not found."""
    hits = library.search(said.question, k=READ)
    texts = tuple(hit.passage.text for hit in hits)
    words = said.answer if said.span is None else said.span
    rows = [_row(said, words, hit) for hit in hits]
    if said.end > said.start and not any(row is not None and row.span for row in rows):
        rows.insert(0, _missing(said, store))
    right = (said.span,) if said.span else (said.answer,) if said.verdict == "right" and said.answer else ()
    return ReadingExample(
        said.question, texts, tuple(hit.scores["dense"] for hit in hits), right,
        said.answer if said.span is None and said.verdict == "wrong" else "", tuple(row for row in rows if row),
    )  # fmt: skip


def _row(said: Feedback, words: str, hit: Hit) -> ReadingRow | None:
    """None: whether the passage answers is not known."""
    passage, wrong = hit.passage, said.verdict == "wrong" and said.span is None
    if said.end > said.start and hit.uri == said.document and passage.start <= said.start and said.end <= passage.end:
        return ReadingRow(said.question, passage.text, (said.start - passage.start, said.end - passage.start), wrong)
    if wrong or (words and words.lower() in passage.text.lower()):
        return None
    return ReadingRow(said.question, passage.text)


def _missing(said: Feedback, store: RelationalDocumentStore) -> ReadingRow | None:
    number = store.id_of(said.document)
    for one in store.passages(number)[1] if number is not None else ():
        if one.start <= said.start and said.end <= one.end:
            span = said.start - one.start, said.end - one.start
            return ReadingRow(said.question, one.text, span, said.verdict == "wrong" and said.span is None)
    return None


@dataclass(frozen=True)
class GeneralQuestion:
    """Of the shipped data."""

    question: str
    title: str
    passages: tuple[str, ...]
    answers: tuple[str, ...]  # none: no passage answers
    start: int  # of the first answer, in the passage that has it
    part: int  # 0: to learn from, 1: to choose by, 2: to judge by; the parts share no passage


@cache
def general_questions() -> tuple[GeneralQuestion, ...]:
    """assets/qa/general.json.gz, see the README beside it."""
    data = json.loads(gzip.decompress((assets_dir() / "qa" / "general.json.gz").read_bytes()))
    texts = data["passages"]
    return tuple(
        GeneralQuestion(
            one["question"],
            one["title"],
            tuple(texts[n] for n in one["passages"]),
            tuple(one["answers"]),
            one["start"],
            one["part"],
        )
        for one in data["questions"]
    )


def from_general(one: GeneralQuestion, similarities: Sequence[float]) -> ReadingExample:
    """`similarities`: of the question and each passage."""
    first = one.answers[0] if one.answers else ""
    rows = []
    for text in one.passages:
        if first and text[one.start : one.start + len(first)] == first:
            rows.append(ReadingRow(one.question, text, (one.start, one.start + len(first))))
        elif not any(answer.lower() in text.lower() for answer in one.answers):
            rows.append(ReadingRow(one.question, text))
    return ReadingExample(one.question, one.passages, tuple(similarities), one.answers, "", tuple(rows))
