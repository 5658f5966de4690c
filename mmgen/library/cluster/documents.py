"""Documents on other nodes: read by one stage, split and embedded by another, and stored here as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.errors import NotFound, UnreadableFile
from mmgen.interfaces import Document, Passage, Scalar
from mmgen.library import document_sources
from mmgen.library.cluster.stages import StageRates, StageRow, StageRuntime
from mmgen.library.document_indexing import AT_ONCE, DocumentIndexing, PreparedDocument, splitting
from mmgen.library.document_sources import DocumentSource, in_language

if TYPE_CHECKING:
    from mmgen.models.encoders.prompts import Prompts


@dataclass(frozen=True)
class ReadDocuments:
    """The first stage: `uri -> Document`, or why it cannot be read."""

    runtime: StageRuntime
    metadata: Mapping[str, Scalar]
    language: str
    ocr: bool | None
    comments: bool
    keep: str  # where recognised pages of a file wait until it is stored

    def open(self) -> Callable[[Sequence[StageRow]], list[StageRow]]:
        rt = self.runtime.open()
        load = partial(document_sources.load, rt, metadata=self.metadata, ocr=self.ocr, comments=self.comments, keep=self.keep)

        def read(rows: Sequence[StageRow]) -> list[StageRow]:
            return [self._one(load, row) for row in rows]

        return read

    def _one(self, load: Callable[[Path], Document], row: StageRow) -> StageRow:
        began, path = time.perf_counter(), Path(row.value)
        try:
            found = PreparedDocument(row.value, in_language(load, path, self.language))
        except (UnreadableFile, NotFound) as why:
            found = PreparedDocument(row.value, failed=str(why))
        return StageRow(found, {"read": (1, time.perf_counter() - began)})


@dataclass(frozen=True)
class EmbedDocuments:
    """The second: splits them, and embeds the passages of those that come together."""

    runtime: StageRuntime
    encoder: str
    prompts: Prompts | None  # that the store was filled with

    def open(self) -> Callable[[Sequence[StageRow]], list[StageRow]]:
        client = self.runtime.open().encoder(self.encoder)
        split = splitting(client, self.prompts)

        def embed(rows: Sequence[StageRow]) -> list[StageRow]:
            began = time.perf_counter()
            passages: list[list[Passage]] = [split(row.value.document) if row.value.document else [] for row in rows]
            texts = [passage.text for theirs in passages for passage in theirs]
            middle = time.perf_counter()
            parts = [client.embed_text(texts[n : n + AT_ONCE], None, "document", self.prompts)
                     for n in range(0, len(texts), AT_ONCE)]  # fmt: skip
            spent = {"split": middle - began, "embed": time.perf_counter() - middle}
            vectors = iter([vector for part in parts for vector in part])
            return [_embedded(row, theirs, vectors, spent, len(texts)) for row, theirs in zip(rows, passages, strict=True)]

        return embed


def _embedded(
    row: StageRow, passages: list[Passage], vectors: Iterator[object], spent: Mapping[str, float], texts: int
) -> StageRow:
    """`spent`: seconds of all `texts`, of which a document has its part."""
    import numpy as np

    if row.value.document is None:
        return row
    own = np.array([next(vectors) for _ in passages], dtype=np.float32)
    part = {stage: (len(passages), seconds * len(passages) / max(texts, 1)) for stage, seconds in spent.items()}
    return StageRow(replace(row.value, passages=passages, vectors=own), {**row.spent, **part})


def part(adding: DocumentIndexing, sources: Iterable[DocumentSource]) -> tuple[list[str], list[DocumentSource]]:
    """The uris of what is new, and what is left to be read here: a second file with the same bytes, whose document is likely
    stored by then, and what has no readable name. What is unchanged is taken at once."""
    far, here, digests = list[str](), list[DocumentSource](), set[str]()
    for source in sources:
        if source.unchanged:
            adding.take(source.uri, True, source.read)
        elif not source.digest or source.digest in digests:
            here.append(source)
        else:
            digests.add(source.digest)
            far.append(source.uri)
    return far, here


def take(adding: DocumentIndexing, rows: Iterable[StageRow]) -> None:
    """Stores what comes."""
    rates = StageRates(adding.report.stages)
    for row in rows:
        adding.stages, began = str(rates), time.perf_counter()
        adding.take_prepared(row.value)
        rates.add({**row.spent, "write": (1, time.perf_counter() - began)})
    began = time.perf_counter()
    adding.flush()
    rates.add({"write": (0, time.perf_counter() - began)})
