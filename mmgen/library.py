"""A store with the encoder that fills and asks it: files in, passages out. Part of the wiring; knows no question or answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.engine.job import Request
from mmgen.errors import BadRequest, NotFound, UnreadableFile
from mmgen.interfaces import Document, Hit, Passage, Scalar

if TYPE_CHECKING:
    from mmgen.runtime import Runtime
    from mmgen.stores.documents import DocumentStore

AT_ONCE = 256  # passages embedded and committed together


@dataclass
class Added:
    """What an `add` did. `skipped`: (path, reason) of every file that could not be read."""

    added: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    passages: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        parts = [f"{len(self.added)} documents added ({self.passages} passages in {self.seconds:.1f} s)"]
        parts += [f"{len(self.unchanged)} unchanged"] if self.unchanged else []
        parts += [f"{len(self.removed)} removed"] if self.removed else []
        parts += [f"{len(self.skipped)} skipped"] if self.skipped else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Step:
    """Progress of an `add`: the file it stands at, and counts so far."""

    uri: str
    files: int
    of: int
    passages: int


class Library:
    """Opens its store on first use: reading an absent store is an error, adding to it makes it."""

    def __init__(self, rt: Runtime, path: Path, *, encoder: str | None = None, index: str = "auto") -> None:
        self.rt, self.path, self.encoder_reference, self.index = rt, path, encoder, index
        self._opening = threading.Lock()
        self._store: DocumentStore | None = None
        self._reading: DocumentStore | None = None

    def close(self) -> None:
        for store in (self._store, self._reading):
            if store is not None:
                store.close()
        self._store = self._reading = None

    def writable(self) -> DocumentStore:
        """The store, made if need be."""
        from mmgen.stores.documents import DocumentStore

        with self._opening:
            if self._store is None:
                encoder = self.rt.encoder(self.encoder_reference)
                self._store = DocumentStore(self.path, encoder=encoder.name, dimension=encoder.dimension, index=self.index)
            return self._store

    def readable(self) -> DocumentStore:
        """The store as it is; NotFound with a remedy where there is none."""
        from mmgen.stores.documents import DocumentStore

        with self._opening:
            if self._store is not None:
                return self._store
            if self._reading is None:
                self._reading = DocumentStore(self.path, readonly=True, index=self.index)
            return self._reading

    def add(
        self,
        paths: str | Path | Sequence[str | Path] = (),
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        metadata: Mapping[str, Scalar] | None = None,
        sync: bool = False,
        documents: Iterable[Document] = (),
        progress: Callable[[Step], None] | None = None,
        request: Request | None = None,
    ) -> Added:
        """Reads files (folders recursively), splits, embeds and stores them. What did not change is left alone.

        Args:
            paths: files and folders.
            include, exclude: glob patterns for what stands in folders.
            metadata: kept with every document, for filters.
            sync: also removes documents whose files vanished from the given folders.
            documents: more documents, already in memory.
            progress: called after every file.
            request: cancels it between batches; what was stored until then stays.

        Raises:
            NotFound: a path does not exist; nothing was changed.
            BadRequest: nothing to read in the given paths.
        """
        from mmgen.ingest import walk

        given = [Path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
        files = list(walk.files(given, include=include, exclude=exclude))
        extra = list(documents)
        if not files and not extra and not sync:
            where = ", ".join(map(str, given)) or "the given paths"
            raise BadRequest(f"{where}: no files to read; give files or a folder with txt, md, html, pdf, docx, csv, jsonl or code")
        began, report, store = time.perf_counter(), Added(), self.writable()
        request = request or Request.new(priority="batch")
        waiting: list[tuple[Document, list[Passage]]] = []
        for count, (uri, read) in enumerate(self._sources(files, extra, metadata or {}), 1):
            try:
                document = read()
                if store.unchanged(uri, document.content_hash):
                    report.unchanged.append(uri)
                else:
                    waiting.append((document, self._split(document)))
            except UnreadableFile as why:
                report.skipped.append((uri, str(why)))
            if sum(len(passages) for _, passages in waiting) >= AT_ONCE:
                self._flush(store, waiting, report, request)
            if progress:
                progress(Step(uri, count, len(files) + len(extra), report.passages + sum(len(p) for _, p in waiting)))
        self._flush(store, waiting, report, request)
        if sync:
            seen = {str(path.resolve()) for path in files}
            for uri in [uri for root in given for uri in store.vanished(root.resolve(), seen)]:
                store.remove(uri)
                report.removed.append(uri)
        report.seconds = time.perf_counter() - began
        return report

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
        """The `k` passages nearest to the query, best first; `rerank` names a reranker of the registry."""
        if not query.strip():
            raise BadRequest("the query is empty; write what to look for")
        store = self.readable()
        if store.count() == 0:
            raise NotFound(f"store {self.path} is empty; add documents first: mmgen rag add PATH")
        vector = self.rt.encoder(store.encoder).embed_text([query], request)[0]
        conditions = where if isinstance(where, Mapping) else store.parse_where(where)
        hits = store.search(query, vector, 4 * k if rerank else k, conditions, method)
        if rerank:
            hits = self.rt.registry.rerankers.get(rerank)(store).rerank(query, hits, k)
        return hits

    def _sources(
        self, files: Sequence[Path], documents: Sequence[Document], metadata: Mapping[str, Scalar]
    ) -> Iterator[tuple[str, Callable[[], Document]]]:
        from mmgen.ingest import loaders

        for path in files:
            yield str(path.resolve()), lambda path=path: loaders.load(path.resolve(), metadata=metadata)  # type: ignore[misc]
        for document in documents:
            yield document.uri, lambda document=document: document  # type: ignore[misc]

    def _split(self, document: Document) -> list[Passage]:
        from mmgen.ingest import splitter

        encoder = self.rt.encoder(self.encoder_reference)
        return splitter.split(document, encoder.token_spans, max_tokens=min(200, encoder.max_tokens - 2))

    def _flush(self, store: Any, waiting: list[tuple[Document, list[Passage]]], report: Added, request: Request) -> None:
        if not waiting:
            return
        texts = [passage.text for _, passages in waiting for passage in passages]
        vectors = self.rt.encoder(self.encoder_reference).embed_text(texts, request)
        rows, first = [], 0
        for document, passages in waiting:
            rows.append((document, passages, vectors[first : first + len(passages)]))
            first += len(passages)
        store.add_many(rows)
        report.added += [document.uri for document, _ in waiting]
        report.passages += len(texts)
        waiting.clear()
