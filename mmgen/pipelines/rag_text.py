"""rag-text: a question answered from the user's documents, in their own words, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.interfaces import Hit, Scalar
from mmgen.pipelines.clock import Clock
from mmgen.pipelines.streamed import Event, Streamed

if TYPE_CHECKING:
    from mmgen.adding import Added
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


class RagText(Streamed[Answer]):
    """Answer a question from your documents, with exact quotes.

    store: name or path of the store.
    reader: reference of the model that reads the passages.
    encoder: reference of the model that embeds them.
    """

    priority = "interactive"

    def __init__(self, rt: Runtime, *, store: str | None = None, reader: str | None = None, encoder: str | None = None) -> None:
        self.rt, self.where, self.reader_reference = rt, store, reader
        self.library = rt.library(store, encoder=encoder)

    def add(self, paths: str | Path | Sequence[str | Path], **options: Any) -> Added:
        """Files and folders into the store; see `mmgen.library.Library.add`."""
        return self.library.add(paths, **options)

    def add_text(self, text: str, name: str, **options: Any) -> Added:
        """A text that is no file, under a name by which citations call it."""
        from mmgen.ingest.loaders import load_stdin

        return self.library.add(documents=[load_stdin(text, name, options.get("metadata"))], **options)

    def __call__(
        self,
        question: str,
        *,
        k: int = 5,
        grounding: Grounding = "strict",
        threshold: float | None = None,
        where: Sequence[str] | Mapping[str, Scalar] = (),
        request: Request | None = None,
    ) -> Answer:
        """Answers one question.

        question: what to ask.
        k: how many passages to read.
        grounding: strict answers with spans of the passages or abstains; cite answers with the whole sentences that hold them;
            off writes freely, without citations.
        threshold: confidence below which it abstains, 0 to 1; the default is the reader's own.
        where: metadata filters, such as lang=en.

        Raises BadRequest for a value out of its range, NotFound for a store that is absent or empty.
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
        """The same, step by step. Who stops reading it cancels nothing: `request.cancel()` does.

        Events: "passages", "candidates", and at last the "answer", each with what it brought; free writing (grounding "off")
        has "text" events before the answer: all that is written so far.
        """
        question = check(question, k, grounding, threshold)
        request, clock = request or Request.new(priority="interactive"), Clock()
        store = self.library.filled()  # told before a model is loaded for nothing
        self.rt.encoder(store.encoder)
        reader = self.rt.reader(self.reader_reference)
        clock.lap("load")
        hits = self.library.search(question, k=k, where=where, request=request)
        clock.lap("retrieve")
        yield Event("passages", hits)
        texts, similarities = [hit.passage.text for hit in hits], [hit.scores["dense"] for hit in hits]
        calibration = reader.model.calibration
        candidates = calibration.candidates(reader.read(question, texts, request), texts, similarities)
        confidence = calibration.confidence(calibration.features(candidates, similarities)) if candidates else 0.0
        clock.lap("read")
        yield Event("candidates", candidates)
        floor = calibration.threshold if threshold is None else threshold
        text, citations = NOT_THERE, []
        abstained = not candidates or (grounding != "off" and confidence < floor)
        if not abstained and grounding == "off":
            for text in reader.write(question, texts[candidates[0].places[0][0]], request):
                yield Event("text", text)
            abstained = not text  # the reader closed its answer before the first word
            text = text or NOT_THERE
        elif not abstained:
            citations = cite(candidates[0], hits, whole_sentences=grounding == "cite")
            text = citations[0].quote
        clock.lap("answer")
        yield Event(
            "answer",
            Answer(question, text, citations, confidence, abstained, grounding, hits, clock.laps(), request.id),
        )

    def close(self) -> None:
        self.library.close()


def check(question: str, k: int, grounding: str, threshold: float | None) -> str:
    """The question, stripped; BadRequest for what cannot be answered."""
    if not isinstance(question, str) or not question.strip():
        raise BadRequest('the question is empty; ask something, such as "who built it?"')
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= 100:
        raise BadRequest(f"k is {k!r}; it can be 1 to 100 passages")
    if grounding not in get_args(Grounding):
        raise BadRequest(f"grounding is {grounding!r}; it can be {', '.join(get_args(Grounding))}")
    if threshold is not None and not 0.0 <= threshold <= 1.0:  # nan is out too
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
    """The sentence or sentences of `text` that hold `[start, end)`, or its lines of code, without surrounding white space."""
    from mmgen.ingest.blocks import blocks, lines, trimmed
    from mmgen.ingest.sentences import sentences

    touched: list[tuple[int, int]] = []
    for block in blocks(text, "markdown"):
        if block.form == "code":
            parts = list(lines(text, block.start, block.end))
        else:
            parts = [(block.start + a, block.start + b) for a, b in sentences(text[block.start : block.end])]
        touched += [(a, b) for a, b in parts if a < end and b > start]
    return trimmed(text, touched[0][0], touched[-1][1])
