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
from mmgen.stores.shards import snapshots
from mmgen.stores.shards.sharded_index import ShardedIndex
from mmgen.stores.shards.side_by_side import shard_of

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
        self._index: VectorIndex | ShardedIndex | None = None
        self._shards = file.with_suffix(".shards")  # the folder of those on disk
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
            if choose(0, self.asked) != "shards":
                snapshots.discard(self._shards)
            elif self.kind == "shards":
                self.file.unlink(missing_ok=True)

    def close(self) -> None:
        """Saves the index; after many writes, first builds what the next search would have to wait for."""
        with self._lock.exclusive():
            if self.database.wrote and self._due():
                self._upgrade()
            if self._index is not None and self._changes > len(self._index) // 100:
                self._save()
            self._use(None)

    def _upgrade(self) -> None:
        index = self._refresh()
        if index.kind != choose(len(index), self.asked) or index.stale(self.asked):
            self._build()

    def _use(self, index: VectorIndex | ShardedIndex | None) -> None:
        if isinstance(self._index, ShardedIndex) and self._index is not index:
            self._index.close()
        self._index = index

    def _due(self) -> bool:
        """Whether the file is missing or a tenth behind, and building takes long enough to matter."""
        count = self._count()
        if choose(0, self.asked) == "shards":
            return True
        _, cached = stamp_and_count(self.file)
        return choose(count, self.asked) != "flat" and abs(count - cached) > count // 10

    def _refresh(self) -> VectorIndex | ShardedIndex:
        index, stamp = self._index or self._load(), self._newest()
        if isinstance(index, ShardedIndex) and self._too_many(index):
            index = self._load()  # another process may have built what is newer
        if index is None or (isinstance(index, ShardedIndex) and self._too_many(index)):
            return self._build()
        if index.stamp != stamp:
            gone = self.database.all(f"SELECT id FROM {self.removed} WHERE generation > ?", (index.stamp[0],))
            index.remove([number for (number,) in gone])
            self._changes += len(gone)
            for ids, vectors in self._parts(after=index.last_id):
                index.add(ids, vectors)
                self._changes += len(ids)
            index.stamp = stamp
        self._use(index)
        return index

    def _too_many(self, index: ShardedIndex) -> bool:
        """Whether more came since than may be kept in memory beside shards."""
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {self.table} WHERE id > ? LIMIT ?)"
        return bool(self.database.one(sql, (index.last_id, index.room + 1))[0] > index.room)

    def _load(self) -> VectorIndex | ShardedIndex | None:
        """The saved index, if it stands at a commit of this store and has the requested type."""
        if choose(0, self.asked) == "shards":
            return ShardedIndex.load(self._shards, self.dimension, self._known)
        index = VectorIndex.load(self.file, self.dimension)
        if index is None or (self.asked != "auto" and index.kind != choose(len(index), self.asked)):
            return None
        return index if self._known(index.stamp) else None

    def _known(self, stamp: tuple[int, int]) -> bool:
        """Whether it is a commit of this store."""
        return self.database.one("SELECT 1 FROM commits WHERE generation = ? AND token = ?", stamp) is not None

    def _build(self) -> VectorIndex | ShardedIndex:
        stamp, count = self._newest(), self._count()
        kind = choose(count, self.asked)
        if kind == "shards" and (sharded := self._sharded(stamp, count)) is not None:
            self._use(sharded)
            self._changes = 0
            return sharded
        kind = choose(count) if kind == "shards" else kind
        log.info("building a %s index over %d %s: %s", kind, count, self.table, self.file.parent)
        index = VectorIndex.build(self.dimension, kind, count, self._parts)
        index.stamp = stamp
        self._use(index)
        self._changes = max(1, count)
        return index

    def _sharded(self, stamp: tuple[int, int], count: int) -> ShardedIndex | None:
        """Shards on disk; None where they cannot be written."""
        try:
            return ShardedIndex.build(
                self._shards, self.dimension, self.asked, stamp, count, self._parts, self._shard_numbers, self._known
            )
        except OSError as why:
            log.warning("no shards can be built in %s (%s); its vectors are searched in memory", self._shards, why)
            return None

    def _shard_numbers(self, ids: np.ndarray, shards: int) -> np.ndarray:
        """Where vectors belong: by their document's hash; what is removed meanwhile is anywhere."""
        sql = (
            f"SELECT v.id, d.content_hash FROM {self.table} v JOIN documents d ON d.id = v.document_id "
            f"WHERE v.id {self.database.among}"
        )
        hashes = dict(self.database.all(sql, (json.dumps(ids.tolist()),)))
        return np.array([shard_of(hashes.get(number, ""), shards) for number in ids.tolist()], np.int64)

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
        if isinstance(self._index, ShardedIndex):  # on disk since it was built
            return
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
