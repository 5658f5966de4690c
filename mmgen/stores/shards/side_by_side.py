"""Shards by document hash, searched side by side and merged: what one index over all of it finds."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import Protocol

import numpy as np


class VectorShard(Protocol):
    """A part of the vectors; inner product, over any ids."""

    def search(
        self, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]: ...  # (Q, K) scores, ids; -1 for none


def shard_of(content_hash: str, shards: int) -> int:
    """Where a document's passages are: the same on every machine, and for every version of mmgen."""
    return int.from_bytes(blake2b(content_hash.encode(), digest_size=8).digest(), "big") % shards


def shards_of(ids: np.ndarray, shards: int) -> np.ndarray:
    """The same for vectors that are known by a number alone: (N,) int64 -> (N,), by a hash (Steele et al. 2014, SplitMix64)."""
    mixed = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return ((mixed ^ (mixed >> np.uint64(31))) % np.uint64(shards)).astype(np.int64)


def merged(scores: Sequence[np.ndarray], ids: Sequence[np.ndarray], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Of (Q, K) scores and ids of each shard the `k` best, equal scores by id; -1 where there are fewer."""
    every, known = np.concatenate(scores, axis=1), np.concatenate(ids, axis=1)
    every = np.where(known >= 0, every, -np.inf)
    order = np.lexsort((known, -every), axis=1)[:, :k]
    return np.take_along_axis(every, order, 1), np.take_along_axis(known, order, 1)


class SideBySide:
    """Threads search it at once. Each shard is searched by one thread, as FAISS does without Python's lock."""

    def __init__(self, shards: Sequence[VectorShard], threads: int | None = None) -> None:
        """`threads`: at most; default: one a shard."""
        self.shards = list(shards)
        self._pool = ThreadPoolExecutor(threads or max(1, len(self.shards)), "mmgen-shards")

    def search(self, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(Q, D) float32 -> scores (Q, K) and ids (Q, K), best first, -1 where there are fewer; K <= k. `allowed`: ids."""
        found = list(self._pool.map(lambda shard: shard.search(vectors, k, allowed), self.shards))
        return merged([scores for scores, _ in found], [ids for _, ids in found], k)

    def close(self) -> None:
        self._pool.shutdown()
