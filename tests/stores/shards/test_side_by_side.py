"""Shards find what one index finds: ids and scores to the bit."""

import numpy as np

from mmgen.stores.faiss_index import VectorIndex
from mmgen.stores.shards.side_by_side import SideBySide, merged, shard_of, shards_of


def unit(count: int, dimension: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dimension), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_flat_shards_equal_one_flat_index() -> None:
    vectors, ids = unit(3001, 48, 0), np.arange(1, 3002)
    vectors[100:140] = vectors[7]  # equal scores
    queries = np.concatenate([unit(30, 48, 1), vectors[[7, 500]]])
    whole = VectorIndex.build(48, "flat", len(ids), lambda: [(ids, vectors)])
    numbers = shards_of(ids, 5)
    shards = []
    for number in range(6):  # the last is empty
        mine = numbers == number
        shards.append(VectorIndex.build(48, "flat", int(mine.sum()), lambda mine=mine: [(ids[mine], vectors[mine])]))
    assert min(map(len, shards[:5])) > 500
    together = SideBySide(shards, threads=2)
    for some in (queries, queries[:1], queries[30:]):
        for k in (1, 10, 60):
            scores, found = together.search(some, k)
            one_scores, one_ids = whole.search(some, k)
            expected, known = merged([one_scores], [one_ids], k)  # equal scores in the order of ids
            assert np.array_equal(scores, expected) and np.array_equal(found, known), (len(some), k)
    together.close()


def test_where_a_document_is_never_changes() -> None:
    assert [shard_of(hash, 16) for hash in ("a", "b", "")] == [15, 5, 4]
    counts = np.bincount(shards_of(np.arange(100_000), 7), minlength=7)
    assert counts.min() > 0.97 * counts.mean()


def test_fewer_than_asked() -> None:
    scores, ids = merged([np.array([[0.5, 0.1]]), np.array([[9.0]])], [np.array([[4, 2]]), np.array([[-1]])], 3)
    assert ids.tolist() == [[4, 2, -1]] and scores.tolist() == [[0.5, 0.1, -np.inf]]
