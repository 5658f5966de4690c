"""The result of rag-text: an answer's text, its citations, and the passages that the model read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.deprecated import attributes
from mmgen.interfaces import Hit, PageBox
from mmgen.pipelines.rag.rag_images import IllustratingImage
from mmgen.pipelines.rag.sentence_citations import NO_SOURCE, AnswerSentence, joined
from mmgen.pipelines.rag.sentence_spans import sentence_around

if TYPE_CHECKING:
    from mmgen.models.reader.calibration import Candidate

NOT_THERE = "Not in the documents."
NOT_READ = "Not read: these passages hold words of the question."


@dataclass(frozen=True)
class Citation:
    """A quote with its place in a document: `document.text[start:end] == quote`, always."""

    document: str  # its uri
    document_id: int
    passage_id: int
    start: int
    end: int
    quote: str
    page: int | None = None  # on which the quote begins; the passage may begin before
    heading: str = ""
    copies: tuple[str, ...] = ()  # other documents that say the same
    boxes: tuple[PageBox, ...] = ()  # the quote's rectangles, where the store knows them
    recognized: float | None = None  # the recogniser's confidence in the quote's words; None: the file has them as text

    def __str__(self) -> str:
        page = f", page {self.page}" if self.page else ""
        sure = "" if self.recognized is None else f", recognised ({self.recognized:.0%} sure)"
        return f"{Path(self.document).name}{page} [{self.start}:{self.end}]{sure}"


@attributes(pictures="images")
@dataclass(frozen=True)
class Answer:
    """What `rag-text` returns."""

    question: str  # as it was asked
    text: str
    citations: list[Citation]
    confidence: float  # calibrated probability that the reader's answer from these passages is right, 0 to 1
    abstained: bool  # True: the confidence is below the threshold, or no sentence is supported by a passage
    grounding: str
    passages: list[Hit] = field(repr=False)  # that the model read
    timings: dict[str, float] = field(repr=False)  # milliseconds per stage
    request_id: str = ""
    model: str = ""  # the language model that generated it; empty: the reader's span
    sentences: list[AnswerSentence] = field(default_factory=list)  # of a language model's checked text, with their citations
    images: list[IllustratingImage] = field(default_factory=list)  # retrieved along with the passages; not read for the answer
    note: str = ""  # what is to be known of the search: that the encoder does not know the question's script
    style: str = "quote"  # "sentence": a language model's, which says the first quote, checked
    quoted: str = ""  # why it is the quote although a sentence was asked for
    precisions: dict[str, str] = field(default_factory=dict)  # of the models that took part, by reference; "": a model's own
    adapters: dict[str, str] = field(default_factory=dict)  # of the store, learned from feedback, by the model that had them
    rewritten: str = ""  # the question as it was searched and read, where the history completes it
    guess: Citation | None = None  # of an abstention: what the reader would have answered, had it been sure enough

    @property
    def standalone(self) -> str:
        """The question that was searched and read."""
        return self.rewritten or self.question

    @property
    def marked(self) -> str:
        """The text with "(no source)" after each sentence that no passage supports."""
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
        lines += [f"  note: {self.note}"] if self.note else []
        lines.append(f"  confidence {self.confidence:.0%}")
        return "\n".join(lines)


def cite(candidate: Candidate, hits: Sequence[Hit], whole_sentences: bool) -> list[Citation]:
    """A citation for every occurrence of the answer. Overlapping passages can contain the same one; it is cited once."""
    citations: dict[tuple[int, int, int], Citation] = {}
    for number, span in candidate.occurrences:
        hit = hits[number]
        start, end = span.start, span.end
        if whole_sentences:
            start, end = sentence_around(hit.passage.text, start, end)
        citation = cited(hit, start, end)
        citations.setdefault((citation.document_id, citation.start, citation.end), citation)
    return list(citations.values())


def cited(hit: Hit, start: int, end: int) -> Citation:
    """The citation of `[start, end)` in the hit's passage."""
    passage, quote = hit.passage, hit.passage.text[start:end]
    start, end = passage.start + start, passage.start + end
    page = passage.page_at(start)
    return Citation(hit.uri, hit.document_id, hit.passage_id, start, end, quote, page, passage.heading, hit.copies)


def located(answer: Answer, store: Any) -> Answer:
    """The answer with the rectangles of its quotes, where the store knows them."""
    find = getattr(store, "places", None)
    if find is None:
        return answer

    def place(citation: Citation) -> Citation:
        if citation.page is None:
            return citation
        boxes, recognized = find(citation.document_id, citation.start, citation.end)
        return replace(citation, boxes=boxes, recognized=recognized)

    return replace(answer, citations=[place(one) for one in answer.citations])
