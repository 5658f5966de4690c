"""Bodies of the store routes."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from mmgen.config import OldKeys
from mmgen.interfaces import Hit, ImageHit
from mmgen.pipelines.rag.answer import Answer, Citation
from mmgen.pipelines.rag.conversation import question_and_history
from mmgen.rag_params import Grounding, RagParams, Style
from mmgen.serve.pipeline_schema import declared
from mmgen.serve.wire.bounds import MOST_METADATA, entries
from mmgen.stores.relational.feedback import Feedback

Metadata = dict[str, str | int | float | bool]
GivenMetadata = Annotated[Metadata, entries(MOST_METADATA)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Query = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
Filters = Annotated[
    GivenMetadata | Annotated[list[str], Field(max_length=MOST_METADATA)],
    Field(description='Values that metadata must have, or conditions such as "year>=2020".'),
]


class StoreBody(OldKeys):
    model_config = ConfigDict(extra="forbid")


class NewStore(StoreBody):
    """POST /v1/stores"""

    name: Name = Field(description="Letters, digits, dots and dashes; never a path.")
    encoder: str | None = Field(default=None, description="As /v1/models lists it; without it the server's own.")


class StoreInfo(BaseModel):
    id: str
    object: Literal["store"] = "store"
    documents: int
    passages: int
    images: int
    encoder: str


class Stores(BaseModel):
    object: Literal["list"] = "list"
    data: list[StoreInfo]


class DeletedStore(BaseModel):
    id: str
    object: str
    deleted: Literal[True] = True


class NewDocument(StoreBody):
    """A document as JSON: its text, or where the server fetches URLs, one."""

    text: str | None = Field(default=None, description="The document itself.")
    url: str | None = Field(default=None, description="A data: URL, or where the server allows it an http(s) one.")
    name: str = Field(default="text.txt", max_length=200, description="How citations call it; its suffix tells the format.")
    metadata: GivenMetadata = Field(default_factory=dict, description="For filters.")


class FileOutcome(BaseModel):
    """What became of one file."""

    name: str
    status: Literal["added", "unchanged", "failed"]
    id: int | None = Field(default=None, description="The document's.")
    reason: str | None = Field(default=None, description="Why it failed, or what of it could not be read.")


class FileOutcomes(BaseModel):
    object: Literal["list"] = "list"
    data: list[FileOutcome]
    passages: int = Field(description="That were added.")


class DocumentInfo(BaseModel):
    id: int
    object: Literal["document"] = "document"
    name: str
    kind: str
    passages: int
    characters: int
    metadata: Metadata
    added_at: str = Field(description="UTC.")
    copies: list[str] = Field(default_factory=list, description="Names of other files with the same bytes.")
    language: str = Field(default="", description="ISO 639 code by which words are stemmed, or und where it is unknown.")


class Documents(BaseModel):
    object: Literal["list"] = "list"
    data: list[DocumentInfo]
    has_more: bool


class Search(StoreBody):
    """POST /v1/stores/{name}/search"""

    old_keys: ClassVar = {"pictures": "images"}

    query: Query
    k: int = Field(default=5, ge=1, le=1000, description="Passages.")
    filters: Filters = Field(default_factory=list)
    mode: Literal["hybrid", "dense", "bm25"] = "hybrid"
    rerank: str | None = Field(
        default=None, description="A reranker of the registry, such as mmr, or a cross-encoder that is served."
    )
    images: int = Field(default=0, ge=0, le=100, description="Images to find beside the passages.")


class AskMessage(BaseModel):
    """A message of a conversation; what else it has is not read."""

    role: Literal["user", "assistant", "system", "developer", "tool"]
    content: Annotated[str, StringConstraints(max_length=20_000)] | None = None


class Ask(StoreBody):
    """POST /v1/stores/{name}/ask"""

    old_keys: ClassVar = {"pictures": "images"}

    question: Query | None = Field(default=None, description="Without it the last of the messages.")
    messages: list[AskMessage] | None = Field(
        default=None,
        max_length=1000,
        description="What was asked and answered before, with which a question such as 'who found it?' is understood.",
    )
    k: int = declared(RagParams, "k")
    grounding: Grounding = declared(RagParams, "grounding")
    min_confidence: float | None = declared(RagParams, "threshold")
    filters: Filters = Field(default_factory=list)
    images: int = declared(RagParams, "images")
    rerank: str | None = declared(RagParams, "rerank")
    style: Style = declared(RagParams, "style")
    base: bool = declared(RagParams, "base")
    model: str | None = Field(
        default=None, description="A language model that writes the answer, or the sentence; without it the reader answers."
    )
    stream: bool = Field(default=False, description="Events instead of one answer.")

    def asked(self) -> tuple[str, list[dict[str, Any]]]:
        """The question, and what was said before."""
        return question_and_history(self.question, [one.model_dump() for one in self.messages or ()])

    def params(self) -> RagParams:
        given = self.k, self.grounding, self.min_confidence, self.filters, self.images, self.rerank, self.style, self.base
        return RagParams(*given)


class PassageResult(BaseModel):
    document: str
    document_id: int
    passage_id: int
    text: str
    start: int = Field(description="Offset in the document's text.")
    end: int
    page: int | None
    heading: str
    recognized: float | None = Field(
        default=None, description="Mean confidence of the OCR that read its pages; null: they have text."
    )
    score: float
    scores: dict[str, float]
    metadata: Metadata
    copies: list[str] = Field(default_factory=list, description="Other documents that say the same.")

    @classmethod
    def of(cls, hit: Hit) -> PassageResult:
        fields = {name: getattr(hit.passage, name) for name in ("text", "start", "end", "page", "heading", "recognized")}
        return cls(
            document=shown(hit.uri), document_id=hit.document_id, passage_id=hit.passage_id, score=hit.score,
            scores=dict(hit.scores), metadata=dict(hit.metadata), copies=list(map(shown, hit.copies)), **fields,
        )  # fmt: skip


class ImageResult(BaseModel):
    document: str
    page: int | None
    caption: str
    score: float
    why: str = ""

    @classmethod
    def of(cls, found: Any, why: str = "") -> ImageResult:
        """`found`: an ImageHit or an IllustratingImage."""
        why = why or getattr(found, "why", "")
        name = str(getattr(found, "metadata", {}).get("name") or shown(found.source))
        return cls(document=name, page=found.page, caption=found.caption, score=found.score, why=why)


class SearchResults(BaseModel):
    object: Literal["list"] = "list"
    data: list[PassageResult]
    images: list[ImageResult] = Field(default_factory=list)

    @classmethod
    def of(cls, hits: list[Hit], images: list[ImageHit]) -> SearchResults:
        return cls(data=[PassageResult.of(hit) for hit in hits], images=[ImageResult.of(one) for one in images])


class Box(BaseModel):
    """A rectangle in points (1/72 inch) from the page's top left corner."""

    page: int
    left: float
    top: float
    right: float
    bottom: float


class CitationInfo(BaseModel):
    """Where an answer stands: the document's text from start to end is the quote."""

    document: str
    document_id: int
    passage_id: int
    start: int
    end: int
    quote: str
    page: int | None = Field(description="From 1, where the quote begins.")
    heading: str
    copies: list[str] = Field(default_factory=list, description="Other documents that say the same.")
    boxes: list[Box] = Field(default_factory=list, description="Its rectangles, one a line; of a pdf.")
    recognized: float | None = Field(default=None, description="Confidence of the OCR in its words; null: the file has them.")

    @classmethod
    def of(cls, citation: Citation) -> CitationInfo:
        names = {"document": shown(citation.document), "copies": list(map(shown, citation.copies))}
        boxes = [Box(**vars(box)) for box in citation.boxes]
        return cls(**vars(citation) | names | {"boxes": boxes})


class AnswerResponse(BaseModel):
    id: str
    object: Literal["answer"] = "answer"
    question: str
    rewritten: str | None = Field(default=None, description="The question that was searched, where the messages complete it.")
    answer: str
    abstained: bool = Field(description="The documents do not answer, as far as the model can tell.")
    note: str | None = Field(
        default=None, description="What is to be known of the search, such as a script unknown to the encoder."
    )
    confidence: float = Field(description="Calibrated probability that the answer is right, 0 to 1.")
    grounding: str
    style: str = Field(description="sentence: a language model's, made of the first citation and checked; otherwise quote.")
    quoted: str | None = Field(default=None, description="Why it is the quote although a sentence was asked for.")
    citations: list[CitationInfo]
    guess: CitationInfo | None = Field(
        default=None, description="Of an abstention: what would have been answered, had the confidence been high enough."
    )
    passages: list[PassageResult] = Field(description="What was read.")
    images: list[ImageResult]
    timings: dict[str, float] = Field(description="Milliseconds a stage.")
    adapters: dict[str, str] = Field(
        default_factory=dict, description="What the store has learned from feedback, by the model that used it."
    )

    @classmethod
    def of(cls, answer: Answer) -> AnswerResponse:
        return cls(
            id=answer.request_id, question=answer.question, rewritten=answer.rewritten or None, answer=answer.marked,
            abstained=answer.abstained, note=answer.note or None,
            confidence=answer.confidence, grounding=answer.grounding, style=answer.style, quoted=answer.quoted or None,
            timings=answer.timings, adapters=answer.adapters,
            citations=[CitationInfo.of(one) for one in answer.citations],
            guess=None if answer.guess is None else CitationInfo.of(answer.guess),
            passages=[PassageResult.of(hit) for hit in answer.passages],
            images=[ImageResult.of(one) for one in answer.images],
        )  # fmt: skip


class NewFeedback(StoreBody):
    """POST /v1/stores/{name}/feedback"""

    question: Query
    answer: str = Field(default="", max_length=20_000, description="As it was given; empty: none was.")
    verdict: Literal["right", "wrong"]
    span: str | None = Field(
        default=None,
        max_length=2_000,
        description="The right words, as a document has them; empty: the documents have none; without it: not told.",
    )
    document_id: int | None = Field(default=None, ge=1, le=2**63 - 1, description="The document with the right words.")


class FeedbackInfo(BaseModel):
    """What was kept: the document's text from start to end is the right span, or of a wrong answer without one the answer."""

    id: int
    object: Literal["feedback"] = "feedback"
    question: str
    answer: str
    verdict: Literal["right", "wrong"]
    span: str | None
    document: str
    start: int
    end: int
    given_at: str = Field(description="UTC.")

    @classmethod
    def of(cls, said: Feedback) -> FeedbackInfo:
        return cls(**vars(said) | {"document": shown(said.document) if said.document else ""})


def shown(uri: str) -> str:
    """A document's name; where it lies on the server is nobody's business."""
    return PurePath(uri).name or uri
