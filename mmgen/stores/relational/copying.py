"""One store's content into another, of whichever kind: texts, offsets, vectors, images and names stay bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from mmgen.errors import NotFound
from mmgen.interfaces import Document, Passage
from mmgen.stores.image_store import ImageStore
from mmgen.stores.relational.documents import DocumentSummary, RelationalDocumentStore
from mmgen.stores.schema import SHOWN_IMAGE_KIND

AT_ONCE = 1_000
"""Passages, or images, of a transaction."""
Row = tuple[Document, list[Passage], np.ndarray]


@dataclass
class StoreCopy:
    """What was copied, and what was there already, with the same text, metadata and passages."""

    documents: int = 0
    passages: int = 0
    images: int = 0
    names: int = 0  # of files with the same bytes as another
    unchanged: int = 0  # documents and files with images
    feedback: int = 0
    adapters: int = 0

    def __str__(self) -> str:
        told = f"{self.documents} documents copied ({self.passages} passages), {self.images} images"
        told += f", {self.names} copies of others" if self.names else ""
        told += f", {self.feedback} of feedback" if self.feedback else ""
        told += f", {self.adapters} adapters" if self.adapters else ""
        return told + (f"; {self.unchanged} were there already" if self.unchanged else "")


def copy(
    source: RelationalDocumentStore, target: RelationalDocumentStore, progress: Callable[[StoreCopy], None] = lambda _: None
) -> StoreCopy:
    """Everything of `source` into `target`, whose other documents stay. After a kill the same call goes on from there.

    Raises StoreError where the two were filled by other encoders.
    """
    target.check_encoder(source.encoder, source.dimension)
    done = StoreCopy()
    summaries = [one for one in source.documents() if one.kind != SHOWN_IMAGE_KIND]
    waiting: list[Row] = []
    for row in _rows(source, target, summaries, done):
        waiting.append(row)
        if sum(len(passages) for _, passages, _ in waiting) >= AT_ONCE:
            _store(target, waiting, done)
            progress(done)
    _store(target, waiting, done)
    names = [(name, one.uri) for one in summaries for name in one.copies if target.id_of(name) != target.id_of(one.uri)]
    if names:
        target.copies.add_many(names)
        done.names += len(names)
    if source.images is not None:
        _copy_images(source.images, target.image_space(source.images.encoder, source.images.dimension), done, progress)
    target.date({one.uri: one.added_at for one in source.documents()})
    _copy_learned(source, target, done)
    return done


def _rows(
    source: RelationalDocumentStore, target: RelationalDocumentStore, summaries: list[DocumentSummary], done: StoreCopy
) -> Iterator[Row]:
    """What the target lacks."""
    for one in summaries:
        try:
            document = source.document(one.id)
        except NotFound:  # removed meanwhile
            continue
        ids, passages = source.passages(one.id)
        there = target.id_of(one.uri)
        if there is not None and target.document(there) == document and target.passages(there)[1] == passages:
            done.unchanged += 1
            continue
        yield replace(document, layout=source.layouts(one.id)), passages, source.vectors(ids)


def _store(target: RelationalDocumentStore, waiting: list[Row], done: StoreCopy) -> None:
    if waiting:
        target.add_many(waiting)
        done.documents += len(waiting)
        done.passages += sum(len(passages) for _, passages, _ in waiting)
        waiting.clear()


def _copy_learned(source: RelationalDocumentStore, target: RelationalDocumentStore, done: StoreCopy) -> None:
    """What people said of the answers, and what was learned from it where the target has learned nothing itself."""
    there = {replace(one, id=0) for one in target.feedback.all()}
    said = [one for one in source.feedback.all() if replace(one, id=0) not in there]
    if said:
        target.feedback.add_many(said)
        done.feedback += len(said)
    for kind in ("reader", "encoder"):
        adapter = source.adapters.get(kind)
        if adapter is not None and target.adapters.get(kind) is None:
            target.adapters.put(adapter)
            done.adapters += 1


def _copy_images(source: ImageStore, target: ImageStore, done: StoreCopy, progress: Callable[[StoreCopy], None]) -> None:
    for file in source.sources():
        images, vectors = source.stored(file)
        if target.stored(file)[0] == images:
            done.unchanged += 1
            continue
        target.replace(file, images, vectors)
        done.images += len(images)
        progress(done)
