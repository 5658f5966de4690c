"""The store: documents, passages, vectors and words in SQLite, which is the truth; FAISS beside it is a cache.

A store is a folder with `store.sqlite` and the cache's files. What `add` returned survives a kill: a document is one
transaction. Any number of processes may read while one writes.
"""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmgen.errors import BadRequest, NotFound, StoreError
from mmgen.interfaces import Document, Hit, Passage, Scalar
from mmgen.stores import fusion, schema
from mmgen.stores.faiss_index import Kind, VectorIndex, choose
from mmgen.stores.where import Condition, parse

log = logging.getLogger(__name__)

DEPTH = 100  # candidates that each method brings to a hybrid search
DENSE_WEIGHT = 0.5  # of the fused score; chosen on SciFact's training queries, see benchmarks/retrieval.py
STOP_WORDS = frozenset(
    "a about an and are as at be been but by can could did do does for from had has have how i if in into is it its may of on or "
    "our s should so such t than that the their them then there these they this to was we were what when where which who whom whose "
    "why will with would you your".split()
)


@dataclass(frozen=True)
class Summary:
    """A document without its text."""

    id: int
    uri: str
    kind: str
    passages: int
    characters: int
    metadata: dict[str, Scalar]
    added_at: str  # UTC


class DocumentStore:
    """Thread-safe: every thread has a connection of its own, and writers take turns."""

    def __init__(
        self,
        path: Path,
        *,
        encoder: str | None = None,
        dimension: int | None = None,
        readonly: bool = False,
        index: str = "auto",
        timeout: float = 5.0,
    ) -> None:
        """
        Args:
            path: the store's folder; made if it is not there, unless `readonly`.
            encoder, dimension: what the vectors come from; a store keeps to the encoder it was made with.
            index: auto, flat, hnsw or ivf-pq.
            timeout: seconds to wait for another writer.

        Raises:
            NotFound: `readonly` and no store there.
            StoreError: no store but something else, a newer format, another encoder, or not writable.
        """
        if index != "auto":
            VectorIndex(1, index)  # type: ignore[arg-type]  # an unknown name is told at once
        self.path, self.file, self.readonly, self.index, self.timeout = path, path / "store.sqlite", readonly, index, timeout
        self._local, self._connections, self._lock = threading.local(), [], threading.RLock()  # type: ignore[var-annotated]
        self._writing = threading.RLock()
        self._vectors: VectorIndex | None = None
        if not readonly and encoder and dimension:
            schema.create(self.file, encoder, dimension)
        meta = self._meta()
        self.encoder, self.dimension = str(meta["encoder"]), int(meta["dimension"])
        asked = encoder.partition("#")[0] if encoder else None  # a precision is no other space
        if asked and (asked != self.encoder.partition("#")[0] or (dimension and dimension != self.dimension)):
            self.close()
            raise StoreError(
                f"store {path} was filled by {self.encoder} ({self.dimension} dimensions), not {encoder}; "
                f"use that encoder, or another --store"
            )

    def __enter__(self) -> DocumentStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Saves the cache if it changed, and closes."""
        with self._lock:
            if self._vectors is not None and len(self._vectors):
                self._save_cache(self._vectors)
            for connection in self._connections:
                connection.close()
            self._connections.clear()
            self._local, self._vectors = threading.local(), None

    def add(self, document: Document, passages: Sequence[Passage], vectors: np.ndarray) -> int:
        """Stores a document, in place of an older version of the same uri -> its id. `vectors`: (passages, D)."""
        return self.add_many([(document, passages, vectors)])[0]

    def add_many(self, rows: Iterable[tuple[Document, Sequence[Passage], np.ndarray]]) -> list[int]:
        """Several documents in one transaction: all are stored when it returns, or none."""
        ids = []
        with self._transaction() as connection:
            for document, passages, vectors in rows:
                self._check(document, passages, vectors)
                connection.execute("DELETE FROM documents WHERE uri = ?", (document.uri,))
                cursor = connection.execute(
                    "INSERT INTO documents(uri, kind, content_hash, text, pages, metadata) VALUES (?, ?, ?, ?, ?, ?)",
                    (document.uri, document.kind, document.content_hash, document.text, json.dumps(document.pages),
                     json.dumps(dict(document.metadata))),
                )  # fmt: skip
                number = int(cursor.lastrowid or 0)
                connection.executemany(
                    'INSERT INTO passages(document_id, start, "end", page, heading, text, vector) VALUES (?, ?, ?, ?, ?, ?, ?)',
                    [
                        (number, p.start, p.end, p.page, p.heading, p.text, v.tobytes())
                        for p, v in zip(passages, np.asarray(vectors, dtype=np.float32), strict=True)
                    ],
                )
                ids.append(number)
        return ids

    def remove(self, uri: str) -> bool:
        """True if there was such a document."""
        with self._transaction() as connection:
            return connection.execute("DELETE FROM documents WHERE uri = ?", (uri,)).rowcount > 0

    def unchanged(self, uri: str, content_hash: str) -> bool:
        """Whether the document is here with this content."""
        row = self._one("SELECT content_hash FROM documents WHERE uri = ?", (uri,))
        return bool(row and row[0] == content_hash)

    def vanished(self, root: Path, seen: set[str]) -> list[str]:
        """Documents that came from `root` or below it and are not in `seen`."""
        below = str(root).rstrip("/") + "/"
        return [uri for uri in self.uris() if (uri == str(root) or uri.startswith(below)) and uri not in seen]

    def uris(self) -> list[str]:
        return [uri for (uri,) in self._all("SELECT uri FROM documents ORDER BY uri")]

    def documents(self) -> list[Summary]:
        rows = self._all(
            "SELECT id, uri, kind, (SELECT count(*) FROM passages WHERE document_id = documents.id), length(text), metadata, "
            "added_at FROM documents ORDER BY uri"
        )
        return [Summary(*row[:5], json.loads(row[5]), row[6]) for row in rows]

    def document(self, key: int | str) -> Document:
        """By id or uri; NotFound if there is none."""
        column = "id" if isinstance(key, int) else "uri"
        row = self._one(
            f"SELECT uri, text, kind, content_hash, pages, metadata FROM documents WHERE {column} = ?", (key,)
        )
        if row is None:
            raise NotFound(f"store {self.path} has no document {key!r}; `mmgen rag list` names them")
        return Document(*row[:4], tuple(json.loads(row[4])), json.loads(row[5]))

    def count(self) -> int:
        """Passages."""
        return int(self._all("SELECT count(*) FROM passages")[0][0])

    def vectors(self, ids: Sequence[int]) -> np.ndarray:
        """(N, D) float32 of passages that are here."""
        rows = self._all("SELECT id, vector FROM passages WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(ids)),))
        found = dict(rows)
        return np.frombuffer(b"".join(found[i] for i in ids), dtype=np.float32).reshape(len(ids), self.dimension)

    @staticmethod
    def parse_where(texts: Sequence[str]) -> list[Condition]:
        """Filters such as `lang=en`; see stores/where.py."""
        return parse(texts)

    def search(
        self,
        query: str | None = None,
        vector: np.ndarray | None = None,
        k: int = 5,
        where: Mapping[str, Scalar] | Sequence[Condition] | None = None,
        method: str = "hybrid",
    ) -> list[Hit]:
        """The `k` best passages, best first.

        Args:
            query: words for BM25; needed but for "dense".
            vector: (D,) of unit length; needed but for "bm25".
            k: how many, at most 1,000.
            where: only documents whose metadata fit.
            method: bm25, dense, or hybrid: `DENSE_WEIGHT` of the cosine and the rest of BM25, both scaled by the best candidate.

        Every hit's `scores` hold what each method that took part gave it.
        """
        if method not in ("hybrid", "bm25", "dense"):
            raise BadRequest(f"method is {method!r}; it can be hybrid, bm25 or dense")
        if not 1 <= k <= 1000:
            raise BadRequest(f"k is {k}; it can be 1 to 1000")
        conditions = parse(where) if isinstance(where, Mapping) else list(where or ())
        depth = k if method != "hybrid" else max(DEPTH, k)
        words = self._bm25(query or "", depth, conditions) if method != "dense" else {}
        cosines = self._dense(vector, depth, conditions) if method != "bm25" and vector is not None else {}
        if vector is not None and words:  # what only the words found has a cosine as well
            more = [number for number in words if number not in cosines]
            cosines |= dict(zip(more, (self.vectors(more) @ vector).tolist(), strict=True))
        if method == "hybrid":
            scores = fusion.weighted(fusion.scaled(cosines, -1.0), fusion.scaled(words, 0.0), DENSE_WEIGHT)
        else:
            scores = dict(words if method == "bm25" else cosines)
        best = sorted(scores, key=lambda number: -scores[number])[:k]
        return self._hits(best, scores, {"bm25": words, "dense": cosines})

    def _bm25(self, query: str, depth: int, conditions: Sequence[Condition]) -> dict[int, float]:
        """Passage -> BM25 (Robertson and Zaragoza 2009), higher is better, best first."""
        terms = re.findall(r"\w+", query.lower())
        terms = [term for term in terms if term not in STOP_WORDS] or terms
        if not terms:
            return {}
        match = " OR ".join(f'"{term}"' for term in dict.fromkeys(terms))
        within, parameters = _within(conditions)
        rows = self._all(
            f"SELECT rowid, -bm25(words) FROM words WHERE words MATCH ? {within} ORDER BY bm25(words) LIMIT ?",
            (match, *parameters, depth),
        )
        return dict(rows)

    def _dense(self, vector: np.ndarray, depth: int, conditions: Sequence[Condition]) -> dict[int, float]:
        """Passage -> cosine, best first."""
        if vector.shape != (self.dimension,):
            raise BadRequest(f"query vector has shape {vector.shape}, this store holds ({self.dimension},); use its encoder")
        allowed = None
        if conditions:
            within, parameters = _within(conditions, "passages.id")
            allowed = np.array([row[0] for row in self._all(f"SELECT id FROM passages WHERE 1 {within}", parameters)], np.int64)
        index = self._current()
        if allowed is not None and index.kind != "flat" and len(allowed) <= 20_000:  # few: exact, from the truth
            scores = self.vectors(allowed.tolist()) @ vector if len(allowed) else np.empty(0, np.float32)
            top = np.argsort(-scores)[:depth]
            return {int(allowed[i]): float(scores[i]) for i in top}
        scores, ids = index.search(vector[None], depth, allowed, self.vectors)
        return {int(i): float(s) for i, s in zip(ids[0], scores[0], strict=True) if i >= 0} if len(ids) else {}

    def search_many(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Dense search of many queries at once: (Q, D) -> scores (Q, K) and passage ids (Q, K), -1 where there are fewer."""
        return self._current().search(vectors, k, None, self.vectors)

    def _hits(self, best: Sequence[int], scores: Mapping[int, float], by: Mapping[str, Mapping[int, float]]) -> list[Hit]:
        rows = self._all(
            'SELECT p.id, p.document_id, d.uri, d.metadata, p.text, p.start, p."end", p.page, p.heading FROM passages p '
            "JOIN documents d ON d.id = p.document_id WHERE p.id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(best)),),
        )
        found = {row[0]: row for row in rows}
        return [
            Hit(n, row[1], row[2], Passage(*row[4:]), scores[n], json.loads(row[3]), {m: s[n] for m, s in by.items() if n in s})
            for n in best
            if (row := found.get(n)) is not None  # removed by another process meanwhile
        ]

    def _current(self) -> VectorIndex:
        """The cached index, brought up to what SQLite holds now."""
        with self._lock:
            generation = int(self._all("SELECT value FROM meta WHERE key = 'generation'")[0][0])
            if self._vectors is None:
                self._vectors = VectorIndex.load(self.path / "vectors", self.dimension)
                if self._vectors is None or (self.index not in ("auto", self._vectors.kind)):
                    self._vectors = self._build()
            if self._vectors.generation != generation:
                self._catch_up(self._vectors, generation)
                if self._vectors.worn() or (self.index == "auto" and choose(len(self._vectors)) != self._vectors.kind):
                    self._vectors = self._build()
            return self._vectors

    def _catch_up(self, index: VectorIndex, generation: int) -> None:
        gone = self._all("SELECT id FROM removed WHERE generation > ?", (index.generation,))
        index.remove([number for (number,) in gone])
        for ids, vectors in self._parts(after=index.last_id):
            index.add(ids, vectors)
        index.generation = generation

    def _build(self) -> VectorIndex:
        generation, count = (int(self._all(sql)[0][0]) for sql in (
            "SELECT value FROM meta WHERE key = 'generation'", "SELECT count(*) FROM passages"
        ))  # fmt: skip
        kind: Kind = choose(count) if self.index == "auto" else self.index  # type: ignore[assignment]
        log.info("building a %s index over %d passages of %s", kind, count, self.path)
        index = VectorIndex.build(self.dimension, kind, count, self._parts)
        index.generation = generation
        return index

    def _parts(self, after: int = 0, size: int = 8192) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        while rows := self._all("SELECT id, vector FROM passages WHERE id > ? ORDER BY id LIMIT ?", (after, size)):
            vectors = np.frombuffer(b"".join(row[1] for row in rows), dtype=np.float32)
            yield np.array([row[0] for row in rows], dtype=np.int64), vectors.reshape(len(rows), self.dimension)
            after = rows[-1][0]

    def _save_cache(self, index: VectorIndex) -> None:
        try:
            index.save(self.path / "vectors")
        except (OSError, RuntimeError) as why:  # a cache that cannot be kept costs time, not data
            log.info("the index of %s was not kept: %s", self.path, why)

    def _check(self, document: Document, passages: Sequence[Passage], vectors: np.ndarray) -> None:
        if vectors.shape != (len(passages), self.dimension):
            raise BadRequest(
                f"{document.uri}: vectors of shape {vectors.shape} for {len(passages)} passages of {self.dimension} dimensions"
            )
        for p in passages:
            if document.text[p.start : p.end] != p.text:
                raise BadRequest(f"{document.uri}: passage at {p.start}:{p.end} is not the document's text there")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self.readonly:
            raise StoreError(f"store {self.path} was opened for reading only; open it without readonly")
        with self._writing, schema.explained(self.file):
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'generation'")
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # a full disk has rolled back already
                    connection.execute("ROLLBACK")
                raise

    def _meta(self) -> dict[str, Any]:
        return dict(self._all("SELECT key, value FROM meta"))

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with schema.explained(self.file):
            return self._connection().execute(sql, parameters).fetchall()

    def _one(self, sql: str, parameters: Sequence[Any]) -> Any:
        rows = self._all(sql, parameters)
        return rows[0] if rows else None

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = schema.connect(self.file, self.readonly, self.timeout)
            self._local.connection = connection
            with self._lock:
                self._connections.append(connection)
        return connection


def _within(conditions: Sequence[Condition], column: str = "rowid") -> tuple[str, list[Any]]:
    """`AND column IN (passages of fitting documents)`, or nothing."""
    if not conditions:
        return "", []
    parts = [condition.sql() for condition in conditions]
    sql = " AND ".join(expression for expression, _ in parts)
    inner = f"SELECT passages.id FROM passages JOIN documents ON documents.id = passages.document_id WHERE {sql}"
    return f"AND {column} IN ({inner})", [value for _, values in parts for value in values]
