"""What the rooms say to each other: the protocols a plugin can implement, and the data that travels between them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mmgen.deprecated import attributes, constructor

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Tensor

Scalar = str | int | float | bool
TokenSpans = Callable[[str], list[tuple[int, int]]]
"""Character ranges of a text's tokens, without special tokens: how the splitter measures length."""


@dataclass(frozen=True)
class PageBox:
    """A rectangle on a page, in points (1/72 inch) from its top left corner."""

    page: int  # from 1
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class PageLayout:
    """Where the words of a page stand. Boxes are left, top, right, bottom in points (1/72 inch) from its top left corner."""

    number: int  # from 1
    start: int  # where its words begin in the document's text, and end
    end: int
    width: float  # points, as the page is shown
    height: float
    recognized: float | None  # the recogniser's mean confidence by letters, 0 to 1; None: all its text is in the file
    packed: bytes = field(repr=False)

    @classmethod
    def of(
        cls, number: int, size: tuple[float, float], spans: np.ndarray, boxes: np.ndarray, confidence: np.ndarray
    ) -> PageLayout:
        """
        Args:
            spans: (W, 2) int, offsets in the text; a table's header stands in it once for every row.
            boxes: (W, 4), points.
            confidence: (W,) 0 to 1; nan for a word that is in the file's text.
        """
        import zlib

        import numpy as np

        spans = np.asarray(spans, np.int64).reshape(-1, 2)
        sure = ~np.isnan(confidence)
        letters = spans[:, 1] - spans[:, 0]
        mean = float(np.average(confidence[sure], weights=letters[sure])) if sure.any() else None
        begin = int(spans[0, 0]) if len(spans) else 0
        columns = [np.diff(spans[:, 0], prepend=begin), letters, *(np.rint(10 * np.asarray(boxes).reshape(-1, 4)).T)]
        columns.append(np.where(sure, np.rint(100 * np.nan_to_num(confidence)), 255))
        packed = zlib.compress(np.concatenate(columns).astype("<i4").tobytes(), 9)
        end = int(spans[-1, 1]) if len(spans) else 0
        return cls(number, begin, end, *size, None if mean is None else round(mean, 3), packed)

    def words(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`spans`, `boxes` and `confidence` as they were given, boxes to a tenth of a point."""
        import zlib

        import numpy as np

        starts, letters, *rest = np.frombuffer(zlib.decompress(self.packed), "<i4").reshape(7, -1)
        starts = np.cumsum(starts) + self.start
        sure = np.where(rest[4] == 255, np.nan, rest[4] / 100).astype(np.float32)
        return np.stack([starts, starts + letters], 1), np.stack(rest[:4], 1).astype(np.float32) / 10, sure


@dataclass(frozen=True)
class Document:
    """A file as text. All offsets of its passages refer to `text`."""

    uri: str  # the loader: absolute path, or a name such as "stdin"
    text: str  # the loader
    kind: str  # the loader: "text", "markdown", "html", "pdf", "csv", "jsonl", "code", "docx", "mail", ...
    content_hash: str  # the loader: sha256 of the file's bytes
    pages: tuple[int, ...] = ()  # the loader: offset in `text` where each page or slide begins
    metadata: Mapping[str, Scalar] = field(default_factory=dict)  # the loader and the caller
    language: str = ""  # the caller, ISO 639 code; empty: the store finds it out
    layout: tuple[PageLayout, ...] = field(default=(), compare=False, repr=False)  # the loader: of every page, pdf only


@dataclass(frozen=True)
class Passage:
    """A piece of a document: `text == document.text[start:end]`, always."""

    text: str
    start: int
    end: int
    page: int | None = None  # from 1, where the passage begins; of pdf files and presentations
    heading: str = ""  # the headings it stands under, outermost first, joined by " > "
    breaks: tuple[int, ...] = ()  # the store: offsets in the document where further pages begin within it
    recognized: float | None = None  # the store: the recogniser's mean confidence on its pages; None: the file has its text

    def page_at(self, offset: int) -> int | None:
        """The page on which that character of the document stands."""
        return None if self.page is None else self.page + sum(begin <= offset for begin in self.breaks)


@dataclass(frozen=True)
class Hit:
    """A passage found by a search."""

    passage_id: int
    document_id: int
    uri: str
    passage: Passage
    score: float  # of the method that ranked it: BM25, cosine, or the fused score
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)  # every method's own score, by name
    copies: tuple[str, ...] = ()  # other documents that say the same


@constructor(picture_id="image_id")
@attributes(picture_id="image_id")
@dataclass(frozen=True)
class ImageHit:
    """An image found by a search."""

    image_id: int
    document_id: int
    uri: str
    source: str  # the file that it is, or stands in
    page: int | None  # from 1; in a pdf only
    caption: str  # alt text, caption, or the file's own description; may be empty
    width: int  # pixels
    height: int
    score: float  # the cosine, or the fused score where several took part
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)  # "text", "image": cosines; "caption": BM25

    def __str__(self) -> str:
        """`lamp.png`, or `report.pdf, page 3, image-2`"""
        inside = self.uri[len(self.source) + 1 :] if self.uri != self.source else ""
        page = f"page {self.page}" if self.page else ""
        return ", ".join(filter(None, (Path(self.source).name, page, inside)))


class Runner(Protocol):
    """Runs one model a step at a time. Only the device thread calls `step`; a job is an `mmgen.engine.job.Job`.

    A step that raises for want of memory has moved no job on: it is tried again with fewer jobs. Optional members:

    - `work`: what its device time is counted as (text, image, encoding, reading, vision, loading); without it "other".
    - `unit`: what a step gives each job (tokens, steps).
    - `kind`: what the reserved bytes are for (kv, latents, activations, decode).
    - `streams`: True if people read a job's events as they come: `max_gap_ms` then holds for it.
    - `estimate(job)` -> `cost_model.Estimate`, called like `reserve`.
    - `counters()` -> name to number, for metrics.
    - `room_ms`: written by the engine before a step: milliseconds that it may take, None for no limit.
    - `uncontended`: written by the engine before a step: an `Uncontended` while no other job waits, else None. With it a step
      may do several quanta in a row, whose number it sets as each job's `rounds`, and ends soon after `stop` is set.
    - `pause_with(pause)`: called once by the engine. The runner calls `pause` at its preemption points, between two layers or
      so; due streaming jobs run inside that call.
    """

    def key(self, job: Any) -> Hashable: ...  # jobs with equal keys can share a forward pass
    def reserve(self, job: Any) -> int: ...  # bytes held until the job ends; TooLarge if it can never fit
    def step(self, jobs: Sequence[Any]) -> None: ...  # one quantum for every job; a bad job fails alone
    def release(self, job: Any) -> None: ...  # the job ended, however it ended


@runtime_checkable
class Encoder(Protocol):
    """Text to vectors of unit length."""

    name: str
    dimension: int
    max_tokens: int

    def embed_text(self, texts: Sequence[str]) -> np.ndarray: ...  # (B, D) float32, unit length
    def token_spans(self, text: str) -> list[tuple[int, int]]: ...


class ImageEncoder(Protocol):
    """Images and texts to unit vectors of one space. Choosing the best of several images asks for `score` alone."""

    name: str
    dimension: int

    def embed_images(self, images: Sequence[Image] | Tensor) -> np.ndarray: ...  # images, or as below -> (B, E) float32
    def embed_texts(self, texts: Sequence[str]) -> np.ndarray: ...  # (B, E) float32
    def score(self, images: Tensor, texts: Sequence[str]) -> Tensor: ...  # (B, 3, H, W) in [-1, 1] -> (B,), higher is better


class Store(Protocol):
    """Documents, their passages and vectors. What `add_many` returned survives a crash.

    Optional: `copies`, a stores.copies.Copies; without it files of the same bytes are stored as often as they come.

    The registry's stores are called as `make(path, *, encoder=None, dimension=None, readonly=False)`. With an encoder's name
    and dimension the store is made where there is none; without them that is NotFound. What has a true attribute `addressed` is
    called with the whole address as a text, such as `postgres://user@host/database`, instead of a path.

    Optional: `places(document_id, start, end)`, the `PageBox`es of these characters and the recogniser's confidence or None.
    """

    encoder: str  # what its vectors come from
    dimension: int

    def add_many(
        self, rows: Iterable[tuple[Document, Sequence[Passage], np.ndarray]]
    ) -> list[int]: ...  # all in one transaction -> ids; each replaces an older version of the same uri
    def remove(self, uri: str) -> bool: ...
    def search(
        self,
        query: str | None = None,
        vector: np.ndarray | None = None,
        k: int = 5,
        where: Mapping[str, Scalar] | Sequence[Any] | None = None,
        method: str = "hybrid",
    ) -> list[Hit]: ...  # best first
    def unchanged(self, uri: str, content_hash: str) -> bool: ...
    def vanished(self, root: Path, seen: set[str]) -> list[str]: ...  # uris at or below `root` that are not in `seen`
    def document(self, key: int | str) -> Document: ...  # by id or uri; NotFound
    def documents(self) -> list[Any]: ...  # in the form of stores.documents.DocumentSummary
    def id_of(self, uri: str) -> int | None: ...
    def uris(self) -> list[str]: ...
    def empty(self) -> bool: ...
    def count(self) -> int: ...  # passages
    def vectors(self, ids: Sequence[int]) -> np.ndarray: ...  # of passages: (N, D) float32
    def use_index(self, kind: str) -> None: ...
    def refresh(self) -> None: ...
    @property
    def images(self) -> Any: ...  # a stores.image_store.ImageStore, or None where it holds no images
    def image_space(self, encoder: str, dimension: int) -> Any: ...  # its images, from now on of that encoder
    def close(self) -> None: ...


class Reranker(Protocol):
    """Orders hits anew. The registry's rerankers are made with the store for each search."""

    def rerank(self, query: str, hits: Sequence[Hit], k: int) -> list[Hit]: ...


class Loader(Protocol):
    """One file format to text, the offsets in it where pages begin, and metadata. Registered under the file's suffix.

    A fourth value may follow: the `PageLayout` of every page.
    """

    def __call__(
        self, path: Path, data: bytes
    ) -> tuple[str, tuple[int, ...], dict[str, Any]] | tuple[str, tuple[int, ...], dict[str, Any], tuple[PageLayout, ...]]: ...
