"""rag-text: a question answered from the user's documents, in their own words, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.interfaces import Hit, Scalar
from mmgen.pipelines.rag.rag_images import IllustratingImage, illustrations
from mmgen.pipelines.rag.sentence_citations import NO_SOURCE, AnswerSentence, joined
from mmgen.pipelines.rag.sentence_spans import sentence_around
from mmgen.pipelines.streaming import Event, StreamingPipeline
from mmgen.pipelines.timings import Clock

if TYPE_CHECKING:
    from mmgen.clients.reader import ReaderClient
    from mmgen.library.document_indexing import Added
    from mmgen.models.reader.calibration import Candidate
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
    confidence: float  # calibrated probability that the reader's answer from these passages is right, 0 to 1
    abstained: bool  # True: the documents do not answer, as far as the model can tell
    grounding: str
    passages: list[Hit] = field(repr=False)  # that the model read
    timings: dict[str, float] = field(repr=False)  # milliseconds a stage
    request_id: str = ""
    model: str = ""  # the language model that wrote it; empty: the reader answered
    sentences: list[AnswerSentence] = field(default_factory=list)  # of a checked text by a language model, with their citations
    images: list[IllustratingImage] = field(default_factory=list)  # found next to the passages; no part of the answer

    @property
    def marked(self) -> str:
        """The text, with a mark behind each sentence that no passage supports."""
        return joined(self.sentences, NO_SOURCE) if self.sentences else self.text

    def to_dict(self) -> dict[str, Any]:
        values = asdict(replace(self, passages=[]))
        values["passages"] = [asdict(hit) for hit in self.passages]
        return values

    def __str__(self) -> str:
        lines = [self.marked]
        for number, citation in enumerate(self.citations, 1):
            lines.append(f'  [{number}] "{citation.quote}" - {citation}')
        lines += [f"  image {number}: {image}, by {image.why}" for number, image in enumerate(self.images, 1)]
        lines.append(f"  confidence {self.confidence:.0%}")
        return "\n".join(lines)


class RagText(StreamingPipeline[Answer]):
    """Answer a question from your documents, with exact quotes.

    store: name or path of the store.
    reader: reference of the model that reads the passages.
    encoder: reference of the model that embeds them.
    model: a language model that writes the answer in place of the reader: embedded:NAME, a folder or a repo id.
    """

    priority = "interactive"

    def __init__(
        self,
        rt: Runtime,
        *,
        store: str | None = None,
        reader: str | None = None,
        encoder: str | None = None,
        model: str | None = None,
    ) -> None:
        self.rt, self.where, self.reader_reference, self.model = rt, store, reader, model
        self.library = rt.library(store, encoder=encoder)

    def add(self, paths: str | Path | Sequence[str | Path], **options: Any) -> Added:
        """Files and folders into the store; see `mmgen.library.document_library.DocumentLibrary.add`."""
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
        images: int = 0,
        request: Request | None = None,
    ) -> Answer:
        """Answers one question.

        question: what to ask.
        k: how many passages to read.
        grounding: strict answers with spans of the passages or abstains; cite answers with the whole sentences that hold them;
            off writes freely, without citations. With a language model strict keeps its sentences whose words all stand in a
            passage; cite keeps all, and marks those that no passage supports.
        threshold: confidence below which it abstains, 0 to 1; the default is the reader's own, with a language model 0.
        where: metadata filters, such as lang=en.
        images: how many of the store's images to find beside the passages; they come with the answer and are no part of it.

        The confidence is the reader's in its own answer, also where a language model writes: it tells how likely these
        passages answer the question, not whether the model's words are right. How those are checked: rag.word_overlap.

        Raises BadRequest for a value out of its range, NotFound for a store that is absent or empty, TooLong for a question
        that the model cannot hold.
        """
        answer: Answer | None = None
        options: dict[str, Any] = {"k": k, "grounding": grounding, "threshold": threshold, "where": where, "images": images}
        for event in self.stream(question, **options, request=request):
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
        images: int = 0,
        request: Request | None = None,
    ) -> Iterator[Event]:
        """The same, step by step. Who stops reading it cancels nothing: `request.cancel()` does.

        Events: "passages", "images" where they were asked for, "candidates", and at last the "answer", each with what it
        brought; free writing (grounding "off") and a language model have "text" events before the answer: all that is written
        so far, not checked yet.
        """
        from mmgen.pipelines.rag.rag_llm import write

        question = check(question, k, grounding, threshold, images)
        request, clock = request or Request.new(priority="interactive"), Clock()
        store = self.library.filled()  # told before a model is loaded for nothing
        gallery = self.library.gallery() if images else None
        if gallery:
            gallery.client(gallery.filled())
        self.rt.encoder(store.encoder)
        reader = self.rt.reader(self.reader_reference)
        client = None if self.model is None else self.rt.text(self.model)
        clock.lap("load")
        hits = self.library.search(question, k=k, where=where, request=request)
        clock.lap("retrieve")
        yield Event("passages", hits)
        shown = illustrations(gallery, question, images, where, request) if gallery else []
        if gallery:
            clock.lap("images")
            yield Event("images", shown)
        texts, similarities = [hit.passage.text for hit in hits], [hit.scores["dense"] for hit in hits]
        calibration = reader.model.calibration
        candidates = calibration.candidates(reader.read(question, texts, request), texts, similarities)
        confidence = calibration.confidence(calibration.features(candidates, similarities)) if candidates else 0.0
        clock.lap("read")
        yield Event("candidates", candidates)
        answer = Answer(question, NOT_THERE, [], confidence, True, grounding, hits, {}, request.id, images=shown)
        floor = threshold if threshold is not None else calibration.threshold if client is None else 0.0
        if (hits if client else candidates) and (grounding == "off" or confidence >= floor):
            events = self._read(reader, candidates[0], answer, request) if client is None else write(client, answer, request)
            for event in events:
                if event.kind == "text":
                    yield event
                else:
                    answer = event.value
        clock.lap("answer")
        yield Event("answer", replace(answer, timings=clock.laps()))

    def _read(self, reader: ReaderClient, best: Candidate, answer: Answer, request: Request) -> Iterator[Event]:
        """The reader's words: what it found, or what it writes to the passage where it found it."""
        if answer.grounding != "off":
            citations = cite(best, answer.passages, whole_sentences=answer.grounding == "cite")
            yield Event("answer", replace(answer, text=citations[0].quote, citations=citations, abstained=False))
            return
        text = ""
        for text in reader.write(answer.question, answer.passages[best.places[0][0]].passage.text, request):
            yield Event("text", text)
        if text:  # otherwise the reader closed its answer before the first word
            yield Event("answer", replace(answer, text=text, abstained=False))

    def close(self) -> None:
        self.library.close()


def check(question: str, k: int, grounding: str, threshold: float | None, images: int = 0) -> str:
    """The question, stripped; BadRequest for what cannot be answered."""
    if not isinstance(question, str) or not question.strip():
        raise BadRequest('the question is empty; ask something, such as "who built it?"')
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= 100:
        raise BadRequest(f"k is {k!r}; it can be 1 to 100 passages")
    if isinstance(images, bool) or not isinstance(images, int) or not 0 <= images <= 100:
        raise BadRequest(f"images is {images!r}; it can be 0 (none) to 100")
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
        citation = cited(hit, start, end)
        citations.setdefault((citation.document_id, citation.start, citation.end), citation)
    return list(citations.values())


def cited(hit: Hit, start: int, end: int) -> Citation:
    """Of `[start, end)` of the hit's passage."""
    passage, quote = hit.passage, hit.passage.text[start:end]
    place = passage.start + start, passage.start + end
    return Citation(hit.uri, hit.document_id, hit.passage_id, *place, quote, passage.page, passage.heading)
