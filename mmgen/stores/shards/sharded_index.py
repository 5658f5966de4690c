"""A store's vectors as shards on disk, by the hash of their document, and what came since as a flat index in memory.

It has the calls of `VectorIndex`, so that a store's cache keeps it in step likewise. Scores are exact: shards rescore by the
true vectors. In memory are the centroids, the ids that were removed, and at most `TAIL` vectors.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mmgen.errors import NotFound, StoreError
from mmgen.stores import faiss_index
from mmgen.stores.faiss_index import Kind, Parts, VectorIndex, VectorsOf, shards_asked
from mmgen.stores.shards import building, snapshots
from mmgen.stores.shards.building import ShardOf
from mmgen.stores.shards.disk_index import DiskIndex
from mmgen.stores.shards.side_by_side import SideBySide
from mmgen.stores.shards.snapshots import Snapshot, Stamp

log = logging.getLogger(__name__)

A_SHARD = 2_500_000
"""Vectors, where the number of shards was not asked for; benchmarks/disk_index.py measures shards of that size."""
TAIL = 200_000
"""Vectors in memory that no shard has yet."""


class ShardedIndex:
    """Searches may run side by side; `add` and `remove` may not run beside anything."""

    kind: Kind = "shards"

    def __init__(self, dimension: int, folder: Path | None = None, snapshot: Snapshot | None = None) -> None:
        """Of a snapshot in that folder, or without shards. Raises NotFound and StoreError as `DiskIndex` does."""
        self.dimension, self.folder = dimension, folder
        self.stamp = snapshot.stamp if snapshot else (-1, 0)
        self._last_id = snapshot.last_id if snapshot else 0
        folders = [] if folder is None or snapshot is None else building.folders(folder, snapshot.shards)
        self.shards = [DiskIndex(path) for path in folders]
        self.tail = VectorIndex(dimension)
        self._together = SideBySide([*self.shards, self.tail])

    @classmethod
    def load(cls, root: Path, dimension: int, known: Callable[[Stamp], bool]) -> ShardedIndex | None:
        """The newest that stands at a known commit and is whole; None for none."""
        for folder, snapshot in snapshots.newest(root, known):
            try:
                if snapshot.dimension == dimension:
                    return cls(dimension, folder, snapshot)
            except NotFound:  # removed meanwhile, as there is a newer one
                continue
            except StoreError as why:
                log.warning("%s", why)
                snapshots.remove([folder])
        return None

    @classmethod
    def build(
        cls,
        root: Path,
        dimension: int,
        asked: str,
        stamp: Stamp,
        count: int,
        parts: Callable[[], Parts],
        shard: ShardOf,
        known: Callable[[Stamp], bool],
    ) -> ShardedIndex:
        """Over about `count` vectors, of which too few to train stay in memory; `parts` is called twice. Raises OSError."""
        number = shards_asked(asked) or max(1, -(-count // A_SHARD))
        sample = np.empty((0, dimension), np.float32)
        if count >= faiss_index.LEAST_TO_TRAIN:
            each = faiss_index.lists_for(count // number)
            sample = faiss_index.sample(parts(), count, most=each * building.PER_LIST, dimension=dimension)
        if len(sample) < building.LEAST:
            index = cls(dimension)
            for ids, vectors in parts():
                index.add(ids, vectors)
            index.stamp = stamp
            return index

        def fill(folder: Path) -> Snapshot:
            last = 0

            def seen() -> Parts:
                nonlocal last
                for ids, vectors in parts():
                    last = int(ids[-1])
                    yield ids, vectors

            building.build(
                folder,
                dimension,
                seen,
                shards=number,
                lists=max(1, min(each, len(sample) // 39)),  # 39 vectors a centroid are FAISS's least
                code_bytes=faiss_index.code_bytes(dimension),
                dtype="float32",
                shard=shard,
                sample=sample,
            )
            return Snapshot(stamp, last, dimension, number)

        folder = snapshots.write(root, fill)
        snapshots.prune(root, folder, known)
        built = cls.load(root, dimension, lambda other: other[0] >= stamp[0] and known(other))
        if built is None:
            raise OSError(f"the shards at {folder} are gone")
        return built

    def __len__(self) -> int:
        return sum(map(len, self.shards)) + len(self.tail)

    @property
    def last_id(self) -> int:
        """The largest id that was ever added; ids grow."""
        return max(self._last_id, self.tail.last_id)

    @property
    def room(self) -> int:
        """How many more may be added before shards are built anew."""
        return max(0, TAIL - len(self.tail.ids))

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """`ids` grow and are larger than all before; `vectors`: (N, D) float32."""
        self.tail.add(ids, vectors)

    def remove(self, ids: Sequence[int]) -> None:
        """Masks them; unknown ids are ignored."""
        self.tail.remove(ids)
        for shard in self.shards:
            shard.remove(ids)

    def stale(self, asked: str) -> bool:
        """Whether so much was removed, or added since the shards were built, or so many shards are asked for, that building
        them anew pays off."""
        had, number = sum(shard.count for shard in self.shards), shards_asked(asked)
        if self.shards and number and number != len(self.shards):
            return True
        removed = sum(shard.gone for shard in self.shards)
        return len(self.tail) >= max(faiss_index.LEAST_TO_TRAIN, min(had // 4, TAIL)) or removed > max(1000, had // 4)

    def search(
        self, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None, vectors_of: VectorsOf | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `VectorIndex.search`; `vectors_of` is not needed."""
        if not self.shards:
            return self.tail.search(vectors, k, allowed)
        return self._together.search(vectors, k, allowed)

    def close(self) -> None:
        self._together.close()
