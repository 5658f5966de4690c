"""A store with the encoder that fills and asks it: files in, passages out. Part of the wiring; knows no question or answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.deprecated import keywords, warn
from mmgen.engine.job import Request
from mmgen.errors import BadRequest, NotFound, nearest
from mmgen.interfaces import Document, Hit, Reranker, Scalar, Store
from mmgen.library import document_sources
from mmgen.library.cluster.stages import StageRuntime
from mmgen.library.document_indexing import Added, DocumentIndexing, IndexProgress
from mmgen.library.document_sources import DocumentSource
from mmgen.library.file_choice import FileChoice
from mmgen.library.store_handle import MOST_HITS, StoreHandle, checked, prompts_of
from mmgen.stores.faiss_index import shards_asked
from mmgen.stores.fusion import CrossEncoderReranker
from mmgen.stores.lexical.language import checked as checked_language

if TYPE_CHECKING:
    import numpy as np

    from mmgen.library.image_library import ImageLibrary
    from mmgen.runtime import Runtime

log = logging.getLogger(__name__)

INDEXES = {"auto": "auto", "flat": "flat", "hnsw": "hnsw", "ivfpq": "ivf-pq", "shards": "shards"}  # as users write them


def _index(asked: str) -> str:
    """As a store is told. Raises BadRequest."""
    if asked not in INDEXES and not shards_asked(asked):
        raise BadRequest(
            f"index {asked!r} is unknown{nearest(asked, list(INDEXES))}; it can be {', '.join(INDEXES)} or shards:N"
        )
    return INDEXES.get(asked, asked)


class DocumentLibrary:
    """Opens its store on first use: reading an absent store is an error, adding to it makes it."""

    def __init__(self, handle: StoreHandle | Runtime, where: Path | None = None, *, encoder: str | None = None) -> None:
        """Of a handle. A runtime with the other arguments, as the release before had them, is for `open`."""
        if not isinstance(handle, StoreHandle):
            warn("DocumentLibrary(runtime, path)", "DocumentLibrary.open(runtime, path)")
            handle = StoreHandle(handle, where, encoder=encoder)
        self.handle, self.rt = handle, handle.rt

    @classmethod
    def open(cls, rt: Runtime, where: str | Path | None = None, *, encoder: str | None = None) -> DocumentLibrary:
        """The library of a store; the arguments are those of `StoreHandle`."""
        return cls(StoreHandle(rt, where, encoder=encoder))

    @property
    def path(self) -> Path:
        return self.handle.path

    @property
    def name(self) -> str:
        """For people, and for --store."""
        return self.handle.name

    def close(self) -> None:
        self.handle.close()

    def writable(self, make: bool = True) -> Store:
        """See `StoreHandle.writable`, and likewise the others."""
        return self.handle.writable(make)

    def readable(self) -> Store:
        return self.handle.readable()

    def filled(self) -> Store:
        return self.handle.filled()

    @keywords(pictures="images")
    def add(
        self,
        paths: str | Path | Sequence[str | Path] = (),
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        metadata: Mapping[str, Scalar] | None = None,
        sync: bool = False,
        index: str | None = None,
        documents: Iterable[Document] = (),
        images: bool | None = None,
        ignored: bool = False,
        only: Callable[[Path], bool] | None = None,
        ocr: bool | None = None,
        comments: bool = False,
        language: str | None = None,
        ray: str | None = None,
        progress: Callable[[IndexProgress], None] | None = None,
        request: Request | None = None,
    ) -> Added:
        """Reads files (folders recursively), splits, embeds and stores them. What did not change is left alone.

        Args:
            paths: files and folders.
            include, exclude: glob patterns for what stands in folders.
            metadata: kept with every document, for filters; another value than before counts as a change.
            sync: also removes documents of the given folders whose files vanished.
            index: flat, hnsw, ivfpq, shards, shards:N or auto, from now on; None leaves the store's choice.
            documents: more documents, already in memory.
            images: also image files, and the images in pdf and html files; None: where the store has images already.
            ignored: also what .gitignore and .mmgenignore name in folders, generated and lock files, and secrets.
            only: of the files of the paths read those alone for which this is true, as the others did not change.
            ocr: None recognises pages of pdf files that are pictures, where rapidocr is installed; True also the text in image
                files; False nothing.
            comments: also those in office files that are new or changed; else the report tells them.
            language: of all these documents, such as de or pt-BR; None: each one's is found out. Words are stemmed by it;
                another one than before counts as a change.
            ray: address of a Ray whose nodes read, split and embed; they must see the files under the same paths.
            progress: called after every file, page and batch.
            request: cancels it, a document that is being read too; what was stored until then stays.

        Raises:
            NotFound: a path does not exist; nothing was changed.
            BadRequest: nothing to read in the given paths, or unusable metadata; nothing was changed.
            StoreError: the store cannot be written; what an earlier batch stored stays.
        """
        index = None if index is None else _index(index)
        given = [Path(path).expanduser() for path in ([paths] if isinstance(paths, str | Path) else paths)]
        metadata, language = checked(metadata or {}), checked_language(language) if language else ""
        gallery = self._gallery(images)
        from mmgen.ingest.pdf import recognition

        if ocr and not recognition.is_installed():
            raise BadRequest(f"ocr needs a recogniser, which is not installed; {recognition.EXTRA}")
        choice = FileChoice.find(
            given, include, exclude, gallery, ignored=ignored, ocr=ocr is True, outside=self.path.resolve()
        )
        files, seen = choice.only(only)
        extra = [replace(document, language=language) if language else document for document in documents]
        if not files and not seen and not extra and not sync:
            raise choice.nothing()
        began, store = time.perf_counter(), self.writable()
        if index is not None:
            store.use_index(index)
        encoder = partial(self.rt.encoder, self.handle.encoder_reference or store.encoder)  # not loaded where nothing changed
        request = request or Request.new(priority="batch")
        adding = DocumentIndexing(store, encoder, request, progress, len(files) + len(extra), self._stored)
        adding.report.ignored, adding.report.unread = choice.left_out, dict(+choice.unread)
        load = partial(self.load, metadata=metadata, request=request, ocr=ocr, comments=comments, progress=adding.page)
        sources = document_sources.of_files(store, files, metadata, language, load)
        if ray is not None:
            sources = self._on_cluster(ray, adding, sources, metadata, language, ocr, comments)
        for source in chain(sources, document_sources.of_documents(store, extra)):
            adding.take(source.uri, source.unchanged, source.read)
        adding.flush()
        if sync:
            adding.remove_vanished(given, choice.documents)
        if gallery is not None and (seen or sync):
            adding.report.with_images(gallery.read(seen, given if sync else (), metadata, progress=progress, request=request))
        if index is not None:
            store.refresh()
        adding.report.seconds = time.perf_counter() - began
        return adding.report

    def _on_cluster(
        self,
        ray: str,
        adding: DocumentIndexing,
        sources: Iterable[DocumentSource],
        metadata: Mapping[str, Scalar],
        language: str,
        ocr: bool | None,
        comments: bool,
    ) -> Iterator[DocumentSource]:
        """What is new is read, split and embedded on the nodes of a Ray; returns what is left to be read here."""
        from mmgen.library.cluster import documents, ray_stages

        far, here = documents.part(adding, sources)
        if not far:
            return iter(here)
        runtime, store = StageRuntime.of(self.rt.config), adding.store
        read = documents.ReadDocuments(runtime, metadata, language, ocr, comments, str(self._recognized))
        embed = documents.EmbedDocuments(runtime, self.handle.encoder_reference or store.encoder, prompts_of(store))
        with ray_stages.cluster(ray) as run:
            documents.take(adding, run(far, read, embed))
        return iter(here)

    def search(
        self,
        query: str,
        *,
        k: int = 5,
        where: Sequence[str] | Mapping[str, Scalar] = (),
        method: str = "hybrid",
        rerank: str | None = None,
        request: Request | None = None,
    ) -> list[Hit]:
        """The `k` passages nearest to the query, best first.

        Args:
            query: words or a sentence.
            k: 1 to 1,000.
            where: metadata filters, such as `["lang=en", "year>=2020"]` or `{"lang": "en"}`.
            method: hybrid, bm25 or dense; hybrid is bm25 for a query in a script that the encoder does not know (`note`).
            rerank: name of a reranker in the registry, such as mmr, or reference of a cross-encoder.
            request: cancels it.

        Raises:
            NotFound: no store, an empty one, or no such reranker.
            BadRequest: an empty query, k out of range, or a filter that cannot be understood.
        """
        if not query.strip():
            raise BadRequest("the query is empty; write what to look for")
        if not 1 <= k <= MOST_HITS:
            raise BadRequest(f"k is {k}; it can be 1 to {MOST_HITS} passages")
        reranker = self._reranker(rerank, request)
        store = self.filled()
        vector = None if method == "bm25" else self._vector(store, query, request)
        if method == "hybrid" and not self.rt.encoder(store.encoder).knows(query):
            method = "bm25"
        hits = store.search(query, vector, min(4 * k, MOST_HITS) if reranker else k, where, method)
        return hits if reranker is None else list(reranker(store).rerank(query, hits, k))

    def note(self, query: str) -> str:
        """What is to be told of a hybrid search for the query; "" for nothing."""
        encoder = self.rt.encoder(self.filled().encoder)
        if encoder.knows(query):
            return ""
        return f"{encoder.name} does not know the script of this question; passages were found by their words alone"

    def _vector(self, store: Store, query: str, request: Request | None) -> np.ndarray:
        """(D,)"""
        encoder, prompts = self.rt.encoder(store.encoder), prompts_of(store)
        if prompts is not None and prompts.sides() != encoder.prompts.sides():
            log.info("store %s keeps to the prompts it was filled with, %s", self.handle.name, prompts.sides())
        vector: np.ndarray = encoder.embed_text([query], request, "query", prompts)[0]
        return vector

    def _reranker(self, name: str | None, request: Request | None) -> Callable[[Store], Reranker] | None:
        """What makes the reranker for a store: the registry's of that name, or the cross-encoder of that reference."""
        if not name:
            return None
        table = self.rt.registry.rerankers
        if name in table or not (":" in name or "/" in name or Path(name).is_dir()):
            make: Callable[[Store], Reranker] = table.get(name)
            return make
        model = self.rt.cross_encoder(name)
        return lambda store: CrossEncoderReranker(lambda query, texts: model.score(query, texts, request), model.share)

    def load(
        self,
        path: Path,
        data: bytes | None = None,
        *,
        metadata: Mapping[str, Scalar],
        request: Request | None = None,
        ocr: bool | None = None,
        comments: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Document:
        """A file as a document; see `document_sources.load`."""
        return document_sources.load(
            self.rt, path, data, metadata=metadata, keep=str(self._recognized), request=request, ocr=ocr, comments=comments,
            progress=progress,
        )  # fmt: skip

    @property
    def _recognized(self) -> Path:
        return self.rt.home / "recognized"

    def _stored(self, document: Document) -> None:
        """What was kept of it in case its reading ended early is not needed any more."""
        from mmgen.ingest.pdf import recognition

        if "recognized_pages" in document.metadata:
            recognition.forget(self._recognized, document.content_hash)

    def gallery(self, encoder: str | None = None) -> ImageLibrary:
        """The store's images. `encoder`: reference for a store that has none yet."""
        from mmgen.library.image_library import ImageLibrary

        return ImageLibrary(self.handle, encoder)

    def _gallery(self, wanted: bool | None) -> ImageLibrary | None:
        """None where images are not wanted, or not asked for and not there."""
        if wanted is None:
            try:
                wanted = self.readable().images is not None
            except NotFound:
                wanted = False
        return self.gallery() if wanted else None
