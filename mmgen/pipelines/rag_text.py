"""rag-text: a question answered from the user's documents, in their own words, or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.interfaces import Hit, Scalar

if TYPE_CHECKING:
    from mmgen.models.confidence import Candidate
    from mmgen.runtime import Runtime

Grounding = Literal["strict", "cite", "off"]
NOT_THERE = "Not in the documents."


@dataclass(frozen=True)
class Citation:
    """Where an answer stands: `document.text[start:end] == quote`, always."""

    document: str  # its uri
    document_id: int
    passage_id: int
    start: int
    end: int
    quote: str
    page: int | None = None
    heading: str = ""

    def __str__(self) -> str:
        page = f", page {self.page}" if self.page else ""
        return f"{Path(self.document).name}{page} [{self.start}:{self.end}]"


@dataclass(frozen=True)
class Answer:
    """What `rag-text` returns."""

    question: str
    text: str
    citations: list[Citation]
    confidence: float  # calibrated probability that the answer is right, 0 to 1
    abstained: bool  # True: the documents do not answer, as far as the reader can tell
    grounding: str
    passages: list[Hit] = field(repr=False)
    timings: dict[str, float] = field(repr=False)  # milliseconds a stage
    request_id: str = ""

    def to_dict(self) -> dict[str, Any]:
        values = asdict(replace(self, passages=[]))
        values["passages"] = [asdict(hit) for hit in self.passages]
        return values

    def __str__(self) -> str:
        lines = [self.text]
        for number, citation in enumerate(self.citations, 1):
            lines.append(f'  [{number}] "{citation.quote}" - {citation}')
        lines.append(f"  confidence {self.confidence:.0%}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Event:
    """A step of an answer as it is made: kind "passages", "candidates" or "answer", with what it brought."""

    kind: str
    value: Any


class RagText:
    """Answer a question from your documents, with exact quotes.

    store: name or path of the store.
    reader: reference of the model that reads the passages.
    encoder: reference of the model that embeds them.
    """

    def __init__(
        self, rt: Runtime, *, store: str | None = None, reader: str | None = None, encoder: str | None = None
    ) -> None:
        self.rt, self.where, self.reader_reference = rt, store, reader
        self.library = rt.library(store, encoder=encoder)

    def add(self, paths: str | Path | Sequence[str | Path], **options: Any) -> Any:
        """Files and folders into the store; see `mmgen.library.Library.add`."""
        return self.library.add(paths, **options)

    def __call__(
        self,
        question: str,
        *,
        k: int = 5,
        grounding: Grounding = "strict",
        threshold: float | None = None,
        where: Sequence[str] = (),
        request: Request | None = None,
    ) -> Answer:
        """Answers one question.

        question: what to ask.
        k: how many passages to read.
        grounding: strict answers with spans of the passages or abstains; cite answers with the whole sentences that hold them;
            off writes freely, without citations.
        threshold: confidence below which it abstains, 0 to 1; the default is the reader's own.
        where: metadata filters, such as lang=en.
        """
        answer: Answer | None = None
        for event in self.stream(question, k=k, grounding=grounding, threshold=threshold, where=where, request=request):
            if event.kind == "answer":
                answer = event.value
        assert answer is not None
        return answer

    def stream(
        self,
        question: str,
        *,
        k: int = 5,
        grounding: Grounding = "strict",
        threshold: float | None = None,
        where: Sequence[str] | Mapping[str, Scalar] = (),
        request: Request | None = None,
    ) -> Iterator[Event]:
        """The same, step by step: passages, candidates, answer."""
        question = check(question, k, grounding, threshold)
        request, clock = request or Request.new(priority="interactive"), Clock()
        reader = self.rt.reader(self.reader_reference)
        clock.lap("load")
        hits = self.library.search(question, k=k, where=where, request=request)
        clock.lap("retrieve")
        yield Event("passages", hits)
        texts = [hit.passage.text for hit in hits]
        found = reader.read(question, texts, request)
        clock.lap("read")
        calibration = reader.model.calibration
        similarities = [hit.scores["dense"] for hit in hits]
        candidates = calibration.candidates(found, texts, similarities)
        yield Event("candidates", candidates)
        confidence = calibration.confidence(calibration.features(candidates, similarities)) if candidates else 0.0
        floor = calibration.threshold if threshold is None else threshold
        abstained = not hits or (grounding != "off" and (not candidates or confidence < floor))
        if grounding == "off" and hits:
            best = candidates[0].places[0][0] if candidates else 0
            text, citations = reader.write(question, texts[best], request), []
        elif abstained:
            text, citations = NOT_THERE, []
        else:
            citations = cite(candidates[0], hits, whole_sentences=grounding == "cite")
            text = candidates[0].text if grounding == "strict" else citations[0].quote
        clock.lap("answer")
        yield Event(
            "answer",
            Answer(question, text, citations, confidence, abstained, grounding, hits, clock.laps(), request.id),
        )

    async def acall(self, question: str, **options: Any) -> Answer:
        """`__call__` for asyncio: the event loop stays free, and cancelling the task cancels the request."""
        request = options.pop("request", None) or Request.new(priority="interactive")
        try:
            return await asyncio.to_thread(self, question, request=request, **options)
        except asyncio.CancelledError:
            request.cancel()
            raise

    async def astream(self, question: str, **options: Any) -> AsyncIterator[Event]:
        """`stream` for asyncio."""
        request = options.pop("request", None) or Request.new(priority="interactive")
        events = self.stream(question, request=request, **options)
        end = object()
        try:
            while (event := await asyncio.to_thread(next, events, end)) is not end:
                assert isinstance(event, Event)
                yield event
        except (asyncio.CancelledError, GeneratorExit):
            request.cancel()
            raise

    def close(self) -> None:
        self.library.close()


class Clock:
    """Milliseconds between laps."""

    def __init__(self) -> None:
        self.began = self.last = time.perf_counter()
        self.stages: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.stages[stage], self.last = round(1000 * (now - self.last), 2), now

    def laps(self) -> dict[str, float]:
        return {**self.stages, "total": round(1000 * (self.last - self.began), 2)}


def check(question: str, k: int, grounding: str, threshold: float | None) -> str:
    """The question, stripped; BadRequest for what cannot be answered."""
    if not question.strip():
        raise BadRequest("the question is empty; ask something, such as: mmgen rag ask \"who wrote it?\"")
    if not 1 <= k <= 100:
        raise BadRequest(f"k is {k}; it can be 1 to 100 passages")
    if grounding not in ("strict", "cite", "off"):
        raise BadRequest(f"grounding is {grounding!r}; it can be strict, cite or off")
    if threshold is not None and not 0.0 <= threshold <= 1.0:
        raise BadRequest(f"threshold is {threshold}; it can be 0 to 1")
    return question.strip()


def cite(candidate: Candidate, hits: Sequence[Hit], whole_sentences: bool) -> list[Citation]:
    """Every place where the answer stands, once each: overlapping passages hold the same place twice."""
    citations: dict[tuple[int, int, int], Citation] = {}
    for number, found in candidate.places:
        hit = hits[number]
        start, end = found.start, found.end
        if whole_sentences:
            start, end = sentence_around(hit.passage.text, start, end)
        place = (hit.document_id, hit.passage.start + start, hit.passage.start + end)
        quote = hit.passage.text[start:end]
        citation = Citation(hit.uri, hit.document_id, hit.passage_id, *place[1:], quote, hit.passage.page, hit.passage.heading)
        citations.setdefault(place, citation)
    return list(citations.values())


def sentence_around(text: str, start: int, end: int) -> tuple[int, int]:
    """The sentence or sentences of `text` that hold `[start, end)`, without surrounding white space."""
    from mmgen.ingest.splitter import sentences

    touched = [(a, b) for a, b in sentences(text) if a < end and b > start]
    first, last = min(a for a, _ in touched), max(b for _, b in touched)
    piece = text[first:last]
    return first + len(piece) - len(piece.lstrip()), last - len(piece) + len(piece.rstrip())
