"""The document store over the tables of a relational database: what goes in, what is found. Knows no file and no server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmgen.deprecated import attributes
from mmgen.errors import BadRequest, NotFound, StoreError
from mmgen.interfaces import Document, Hit, PageBox, PageLayout, Passage, Scalar
from mmgen.stores import fusion, page_layouts, schema
from mmgen.stores.copies import Copies, release
from mmgen.stores.distinct import distinct
from mmgen.stores.image_store import ImageStore
from mmgen.stores.lexical.analyzer import columns
from mmgen.stores.lexical.language import detected
from mmgen.stores.metadata_filter import MetadataCondition, parse
from mmgen.stores.relational import feedback
from mmgen.stores.relational.adapters import AdapterTable
from mmgen.stores.relational.feedback import FeedbackTable
from mmgen.stores.relational.interface import RelationalDatabase, Transaction, VectorSearch, Where, WordSearch

DEPTH = 100  # candidates that each method brings to a hybrid search


@dataclass(frozen=True)
class DocumentSummary:
    """A document without its text."""

    id: int
    uri: str
    kind: str
    passages: int
    characters: int
    metadata: dict[str, Scalar]
    added_at: str  # UTC
    language: str = ""  # ISO 639 code, or "und" where it could not be told
    copies: tuple[str, ...] = ()  # names of files with the same bytes


def _names(hit: Hit, repeated: Sequence[Hit], copies: Mapping[int, tuple[str, ...]]) -> tuple[str, ...]:
    """The other documents that say what a hit says."""
    names = [name for one in (hit, *repeated) for name in (one.uri, *copies.get(one.document_id, ()))]
    return tuple(name for name in dict.fromkeys(names) if name != hit.uri)


def _text(connection: Transaction, uri: str) -> str:
    return str(connection.execute("SELECT text FROM documents WHERE uri = ?", (uri,)).fetchone()[0])


@attributes(pictures="images", picture_space="image_space")
class RelationalDocumentStore:
    """Thread-safe: any number of threads search while one writes; other writers wait for it."""

    def __init__(
        self, database: RelationalDatabase, words: WordSearch, vectors_of: Callable[[str, int, str], VectorSearch]
    ) -> None:
        """Over a database whose tables are there.

        Args:
            words: finds words in its tables.
            vectors_of: (table, dimension, index that was asked for) -> finds vectors in the table.
        """
        self._database, self._words, self._vectors_of = database, words, vectors_of
        self.name = database.name
        self.copies = Copies(database)
        self.feedback, self.adapters = FeedbackTable(database), AdapterTable(database)
        meta = dict(database.all("SELECT key, value FROM meta"))
        self.encoder, self.dimension = str(meta["encoder"]), int(meta["dimension"])
        self.prompts: dict[str, str] = json.loads(meta.get("prompts", "{}"))  # of one of an older release: none
        self._index = vectors_of("passages", self.dimension, str(meta.get("index", "auto")))
        self._images: ImageStore | None = None

    def check_encoder(self, encoder: str | None, dimension: int | None) -> None:
        """Raises StoreError where the store was filled by another one; a precision is no other encoder."""
        asked = encoder.partition("#")[0] if encoder else None
        if asked and (asked != self.encoder.partition("#")[0] or (dimension and dimension != self.dimension)):
            raise StoreError(
                f"store {self.name} was filled by {self.encoder} ({self.dimension} dimensions), not {encoder}; "
                f"use that encoder, or another --store"
            )

    def close(self) -> None:
        """Keeps the index if it changed, and closes. Closing twice does nothing."""
        if not self._database.closed:
            try:
                self._index.close()
                if self._images is not None:
                    self._images.close()
            finally:
                self._database.close()

    @property
    def images(self) -> ImageStore | None:
        """Its images, or None where it has no image space; see `image_space`."""
        if self._images is None and (space := ImageStore.space(self._database)) is not None:
            index = self._vectors_of("pictures", space[1], self._index.asked)
            self._images = ImageStore(self._database, index, self._words, *space)
        return self._images

    def image_space(self, encoder: str, dimension: int) -> ImageStore:
        """Its images, in the space of that encoder from now on. Raises StoreError if they are in another one's."""
        if self.images is None:
            ImageStore.make(self._database, encoder, dimension)
        images = self.images
        assert images is not None
        images.check_space(encoder, dimension)
        return images

    def add(self, document: Document, passages: Sequence[Passage], vectors: np.ndarray) -> int:
        """Stores a document, in place of an older version of the same uri -> its id. `vectors`: (passages, D)."""
        return self.add_many([(document, passages, vectors)])[0]

    def add_many(self, rows: Iterable[tuple[Document, Sequence[Passage], np.ndarray]]) -> list[int]:
        """Several documents in one transaction: all are stored when it returns, or none."""
        ids, copies, packed, judged = [], self.copies.there, self._database.vector, self.feedback.there
        with self._database.transaction() as connection:
            for document, passages, vectors in rows:
                self._check(document, passages, vectors)
                said = feedback.of(connection, document.uri) if judged else []
                before = _text(connection, document.uri) if said else ""
                release(connection, document.uri, copies)
                language = document.language or detected(document.text)
                number = self._database.insert(
                    connection,
                    "INSERT INTO documents(uri, kind, content_hash, text, pages, metadata, language) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (document.uri, document.kind, document.content_hash, document.text, json.dumps(document.pages),
                     json.dumps(dict(document.metadata)), language),
                )  # fmt: skip
                connection.executemany(
                    'INSERT INTO passages(document_id, start, "end", page, heading, text, vector, terms, parts) '
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        (number, p.start, p.end, p.page, p.heading, p.text, packed(v), *columns(p.text, language))
                        for p, v in zip(passages, np.asarray(vectors, dtype=np.float32), strict=True)
                    ],
                )
                page_layouts.store(self._database, connection, number, document.layout)
                feedback.carry(connection, said, number, before, document.text)
                ids.append(number)
        return ids

    def remove(self, uri: str) -> bool:
        """Takes a name away, and with its last name a document; true if there was such a name."""
        copies = self.copies.there
        with self._database.transaction() as connection:
            return release(connection, uri, copies)

    def use_index(self, kind: str) -> None:
        """Which index this store keeps from now on: flat, hnsw, ivf-pq, shards, shards:N, or auto for a choice by size."""
        self._index.check(kind)
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM meta WHERE key = 'index'")
            connection.execute("INSERT INTO meta(key, value) VALUES ('index', ?)", (kind,))
        self._index.asked = kind

    def refresh(self) -> None:
        """Builds the index that is due and keeps it now, instead of when the store closes."""
        self._index.rebuild_if_due()

    def unchanged(self, uri: str, content_hash: str) -> bool:
        """Whether the document is here with this content."""
        row = self._database.one("SELECT content_hash FROM documents WHERE id = ?", (self.id_of(uri),))
        return bool(row and row[0] == content_hash)

    def vanished(self, root: Path, seen: set[str]) -> list[str]:
        """Documents, but for images, that came from `root` or below it and are not in `seen`."""
        below = str(root).rstrip("/") + "/"
        rows = self._database.all("SELECT uri FROM documents WHERE kind != ?", (schema.IMAGE_KIND,))
        names = sorted([*(uri for (uri,) in rows), *self.copies.names()])
        return [uri for uri in names if (uri == str(root) or uri.startswith(below)) and uri not in seen]

    def id_of(self, uri: str) -> int | None:
        """None where there is no such document."""
        row = self._database.one("SELECT id FROM documents WHERE uri = ?", (uri,))
        return self.copies.document(uri) if row is None else int(row[0])

    def uris(self) -> list[str]:
        """All names, those of copies too."""
        return sorted([*(uri for (uri,) in self._database.all("SELECT uri FROM documents")), *self.copies.names()])

    def documents(self) -> list[DocumentSummary]:
        rows = self._database.all(
            f"SELECT id, uri, {schema.SHOWN_KIND}, (SELECT count(*) FROM passages WHERE document_id = documents.id), "
            f"length(text), metadata, added_at, {self._language} FROM documents ORDER BY uri"
        )
        copies = self.copies.of(row[0] for row in rows)
        return [
            DocumentSummary(
                number, uri, kind, passages, characters, json.loads(metadata), added_at, language, copies.get(number, ())
            )
            for number, uri, kind, passages, characters, metadata, added_at, language in rows
        ]

    def document(self, key: int | str) -> Document:
        """By id or uri; NotFound if there is none."""
        row = self._database.one(
            f"SELECT uri, text, {schema.SHOWN_KIND}, content_hash, pages, metadata, {self._language} FROM documents "
            "WHERE id = ?",
            (key if isinstance(key, int) else self.id_of(key),),
        )
        if row is None:
            raise NotFound(f"store {self.name} has no document {key!r}; `mmgen rag list` names them")
        uri, text, kind, content_hash, pages, metadata, language = row
        uri = uri if isinstance(key, int) else key
        return Document(uri, text, kind, content_hash, tuple(json.loads(pages)), json.loads(metadata), language)

    @property
    def _language(self) -> str:
        """SQL."""
        return "''" if self._database.outdated else "language"

    def passages(self, document_id: int) -> tuple[list[int], list[Passage]]:
        """A document's, in their order: ids and passages."""
        rows = self._database.all("SELECT id FROM passages WHERE document_id = ? ORDER BY id", (document_id,))
        ids = [int(number) for (number,) in rows]
        return ids, [hit.passage for hit in self._hits(ids, dict.fromkeys(ids, 0.0), {})]

    def layouts(self, document_id: int) -> tuple[PageLayout, ...]:
        """Of all its pages; empty where it has none."""
        return tuple(page_layouts.of(self._database, document_id))

    def date(self, added: Mapping[str, str]) -> None:
        """When documents were added, by their first names: as a copy has it from where it came."""
        known = {one.uri: one.added_at for one in self.documents()}
        rows = [(when, uri) for uri, when in added.items() if known.get(uri, when) != when]
        if rows:
            with self._database.transaction() as connection:
                connection.executemany("UPDATE documents SET added_at = ? WHERE uri = ?", rows)

    def empty(self) -> bool:
        return not self._database.all("SELECT 1 FROM passages LIMIT 1")

    def count(self) -> int:
        """Passages."""
        return int(self._database.all("SELECT count(*) FROM passages")[0][0])

    def vectors(self, ids: Sequence[int]) -> np.ndarray:
        """(N, D) float32, in the order of `ids`; NotFound if one is gone."""
        known, vectors = self._index.vectors(ids)
        if len(known) < len(set(ids)):
            missing = sorted(set(ids) - set(known.tolist()))
            raise NotFound(f"store {self.name} has no passage {missing[0]} (any more); search again")
        return vectors[np.searchsorted(known, np.asarray(ids, np.int64))]

    @staticmethod
    def parse_where(texts: Sequence[str]) -> list[MetadataCondition]:
        """Filters such as `lang=en`; see stores/metadata_filter.py."""
        return parse(texts)

    def search(
        self,
        query: str | None = None,
        vector: np.ndarray | None = None,
        k: int = 5,
        where: Where = None,
        method: str = "hybrid",
    ) -> list[Hit]:
        """The `k` best passages, best first, each another text: a passage that repeats a better one counts as its copy.

        Args:
            query: words for BM25; needed but for "dense".
            vector: (D,) of unit length; needed but for "bm25".
            k: how many, at most 1,000.
            where: only documents whose metadata fit.
            method: bm25, dense, or hybrid, both fused; see stores/fusion.py.

        Every hit's `scores` hold what each method that took part gave it.
        """
        if method not in ("hybrid", "bm25", "dense"):
            raise BadRequest(f"method is {method!r}; it can be hybrid, bm25 or dense")
        if not 1 <= k <= 1000:
            raise BadRequest(f"k is {k}; it can be 1 to 1000")
        if (vector is None and method == "dense") or (query is None and method == "bm25"):
            raise BadRequest(f"method {method} needs a {'query' if method == 'bm25' else 'vector'}; give one")
        conditions = self._database.conditions(where or ())
        depth = max(DEPTH, k)
        words = self._words(query, depth, conditions, "passages") if query and method != "dense" else {}
        cosines = self._dense(vector, depth, conditions) if vector is not None and method != "bm25" else {}
        if vector is not None:  # BM25-only hits get a cosine too
            ids, vectors = self._index.vectors([number for number in words if number not in cosines])
            cosines |= dict(zip(ids.tolist(), (vectors @ vector).tolist(), strict=True))
        scores = words if method == "bm25" else cosines if method == "dense" else fusion.hybrid(words, cosines)
        best = sorted(scores, key=lambda number: -scores[number])
        return self._distinct(best, k, scores, {"bm25": words, "dense": cosines})

    def search_many(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Dense search of many queries at once: (Q, D) -> scores (Q, K) and passage ids (Q, K), -1 where there are fewer."""
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise BadRequest(
                f"query vectors have shape {vectors.shape}, this store holds (Q, {self.dimension}); use its encoder"
            )
        return self._index.search(vectors, k)

    def _dense(self, vector: np.ndarray, depth: int, conditions: Sequence[MetadataCondition]) -> dict[int, float]:
        """Passage -> cosine, best first."""
        if vector.shape != (self.dimension,):
            raise BadRequest(f"query vector has shape {vector.shape}, this store holds ({self.dimension},); use its encoder")
        return self._index.nearest(vector, depth, conditions)

    def _distinct(
        self, best: Sequence[int], k: int, scores: Mapping[int, float], by: Mapping[str, Mapping[int, float]]
    ) -> list[Hit]:
        """The first `k` hits with different texts, each with the names of the documents that repeat it."""
        hits: list[Hit] = []
        groups: dict[int, list[int]] = {}
        taken = 0
        while len(groups) < k and taken < len(best):
            taken = max(2 * k, 4 * taken)
            hits = self._hits(best[:taken], scores, by)
            groups = distinct([hit.passage for hit in hits], k)
        copies = self.copies.of(hits[place].document_id for group in groups.items() for place in (group[0], *group[1]))
        return [
            replace(hits[first], copies=_names(hits[first], [hits[n] for n in more], copies)) for first, more in groups.items()
        ]

    def _hits(self, best: Sequence[int], scores: Mapping[int, float], by: Mapping[str, Mapping[int, float]]) -> list[Hit]:
        rows = self._database.all(
            'SELECT p.id, p.document_id, d.uri, d.metadata, p.text, p.start, p."end", p.page, p.heading, '
            "CASE WHEN p.page IS NULL THEN '[]' ELSE d.pages END FROM passages p "
            f"JOIN documents d ON d.id = p.document_id WHERE p.id {self._database.among}",
            (json.dumps(list(best)),),
        )
        found, sure = {row[0]: row for row in rows}, page_layouts.recognized(self._database, best)
        return [
            Hit(
                n,
                row[1],
                row[2],
                _passage(row[4:], sure.get(n)),
                scores[n],
                json.loads(row[3]),
                {m: s[n] for m, s in by.items() if n in s},
            )
            for n in best
            if (row := found.get(n)) is not None  # removed by another process meanwhile
        ]

    def places(self, document_id: int, start: int, end: int) -> tuple[tuple[PageBox, ...], float | None]:
        """Where these characters stand on a document's pages, and the recogniser's confidence; see `page_layouts.places`."""
        return page_layouts.places(page_layouts.between(self._database, document_id, start, end), start, end)

    def _check(self, document: Document, passages: Sequence[Passage], vectors: np.ndarray) -> None:
        if vectors.shape != (len(passages), self.dimension):
            raise BadRequest(
                f"{document.uri}: vectors of shape {vectors.shape} for {len(passages)} passages of {self.dimension} dimensions"
            )
        if not np.isfinite(vectors).all():
            raise BadRequest(f"{document.uri}: a vector is not finite; the encoder failed on this text")
        for p in passages:
            if document.text[p.start : p.end] != p.text:
                raise BadRequest(f"{document.uri}: passage at {p.start}:{p.end} is not the document's text there")


def _passage(row: Sequence[Any], recognized: float | None) -> Passage:
    """Of its columns, with the document's pages last."""
    text, start, end, page, heading, pages = row
    return Passage(text, start, end, page, heading, tuple(at for at in json.loads(pages) if start < at < end), recognized)
