"""Keeps a FAISS index in step with the vectors in SQLite, and caches it in a file."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mmgen.stores.database import Database
from mmgen.stores.faiss_index import VectorIndex, choose, stamp_and_count
from mmgen.stores.metadata_filter import MetadataCondition
from mmgen.stores.rw_lock import ReadWriteLock

log = logging.getLogger(__name__)

EXACT_UNTIL = 5_000  # rows left by a filter that are compared one by one, without a trained index


class VectorCache:
    """A cache only: it is rebuilt when missing, damaged, or from another store's history.

    A search applies new vectors to the index but never waits for another index type: that is built when a writer closes.
    """

    def __init__(
        self, database: Database, file: Path, dimension: int, index: str, table: str = "passages", removed: str = "removed"
    ) -> None:
        """`table`: has the columns id and vector; `removed`: the ids that once were in it."""
        self.database, self.file, self.dimension, self.asked = database, file, dimension, index
        self.table, self.removed = table, removed
        self._lock = ReadWriteLock()
        self._index: VectorIndex | None = None
        self._changes = 0  # vectors since it was loaded or saved

    def search(self, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(Q, D) -> scores (Q, K) and ids (Q, K), best first, -1 where there are fewer; K <= k."""
        stamp = self._newest()
        with self._lock.shared():
            if self._index is not None and self._index.stamp == stamp:
                return self._index.search(vectors, k, allowed, self.vectors)
        with self._lock.exclusive():
            index = self._refresh()
        with self._lock.shared():
            return index.search(vectors, k, allowed, self.vectors)

    def nearest(self, vector: np.ndarray, k: int, conditions: Sequence[MetadataCondition] = ()) -> dict[int, float]:
        """The `k` nearest to (D,) of fitting documents and their scores, best first; where few fit, these are compared one
        by one."""
        allowed = None
        if conditions:
            clause, parameters = self.database.within(conditions, "id", self.table)
            rows = self.database.all(f"SELECT id FROM {self.table} WHERE 1 = 1 {clause}", parameters)
            allowed = np.array([number for (number,) in rows], np.int64)
        if allowed is not None and len(allowed) <= EXACT_UNTIL and self.kind != "flat":
            scores, ids = self.exact(vector[None], k, allowed.tolist())
        else:
            scores, ids = self.search(vector[None], k, allowed)
        return {number: score for number, score in zip(ids[0].tolist(), scores[0].tolist(), strict=True) if number >= 0}

    def exact(self, vectors: np.ndarray, k: int, ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Exact search among the given ids, without the index."""
        known, rows = self.vectors(ids)
        scores = vectors @ rows.T
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, order, 1), known[order]

    def vectors(self, ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Those of the ids that are there, growing: (N,) and their vectors (N, D)."""
        return self._arrays(
            self.database.all(
                f"SELECT id, vector FROM {self.table} WHERE id {self.database.among} ORDER BY id",
                (json.dumps(list(ids)),),
            )
        )

    def check(self, asked: str) -> None:
        """Raises BadRequest for what is no index."""
        choose(0, asked)

    @property
    def kind(self) -> str:
        """Of the index in use, or of the one that would be built."""
        index = self._index
        return index.kind if index is not None else choose(self._count(), self.asked)

    def rebuild_if_due(self) -> None:
        """Builds the index type that suits the store's size now, and saves it."""
        with self._lock.exclusive():
            self._upgrade()
            self._save()

    def close(self) -> None:
        """Saves the index; after many writes, first builds what the next search would have to wait for."""
        with self._lock.exclusive():
            if self.database.wrote and self._due():
                self._upgrade()
            if self._index is not None and self._changes > len(self._index) // 100:
                self._save()
            self._index = None

    def _upgrade(self) -> None:
        index = self._refresh()
        if index.kind != choose(len(index), self.asked) or index.stale():
            self._build()

    def _due(self) -> bool:
        """Whether the file is missing or a tenth behind, and building takes long enough to matter."""
        count = self._count()
        _, cached = stamp_and_count(self.file)
        return choose(count, self.asked) != "flat" and abs(count - cached) > count // 10

    def _refresh(self) -> VectorIndex:
        index, stamp = self._index or self._load(), self._newest()
        if index is None:
            return self._build()
        if index.stamp != stamp:
            gone = self.database.all(f"SELECT id FROM {self.removed} WHERE generation > ?", (index.stamp[0],))
            index.remove([number for (number,) in gone])
            before = len(index.ids)
            for ids, vectors in self._parts(after=index.last_id):
                index.add(ids, vectors)
            index.stamp = stamp
            self._changes += len(gone) + len(index.ids) - before
        self._index = index
        return index

    def _load(self) -> VectorIndex | None:
        """The saved index, if it stands at a commit of this store and has the requested type."""
        index = VectorIndex.load(self.file, self.dimension)
        if index is None or (self.asked != "auto" and index.kind != choose(len(index), self.asked)):
            return None
        known = self.database.one("SELECT 1 FROM commits WHERE generation = ? AND token = ?", index.stamp)
        return index if known else None

    def _build(self) -> VectorIndex:
        stamp, count = self._newest(), self._count()
        kind = choose(count, self.asked)
        log.info("building a %s index over %d %s: %s", kind, count, self.table, self.file.parent)
        index = VectorIndex.build(self.dimension, kind, count, self._parts)
        index.stamp = stamp
        self._index, self._changes = index, max(1, count)
        return index

    def _parts(self, after: int = 0, size: int = 8192) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        sql = f"SELECT id, vector FROM {self.table} WHERE id > ? ORDER BY id LIMIT ?"
        while rows := self.database.all(sql, (after, size)):
            yield self._arrays(rows)
            after = rows[-1][0]

    def _arrays(self, rows: Sequence[tuple[int, bytes]]) -> tuple[np.ndarray, np.ndarray]:
        vectors = np.frombuffer(b"".join(row[1] for row in rows), dtype=np.float32)
        return np.array([row[0] for row in rows], dtype=np.int64), vectors.reshape(len(rows), self.dimension)

    def _save(self) -> None:
        assert self._index is not None
        try:
            self._index.save(self.file)
            self._changes = 0
        except (OSError, RuntimeError) as why:  # a cache that cannot be kept costs time, not data
            log.info("the index of %s was not kept: %s", self.file.parent, why)

    def _newest(self) -> tuple[int, int]:
        """The last commit: generation and token."""
        row = self.database.one("SELECT generation, token FROM commits ORDER BY generation DESC LIMIT 1")
        return (row[0], row[1])

    def _count(self) -> int:
        return int(self.database.one(f"SELECT count(*) FROM {self.table}")[0])
