import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mmgen.errors import BadRequest
from mmgen.stores.faiss_index import FLAT_UNTIL, HNSW_UNTIL, Kind, VectorIndex, choose, stamp_and_count


def unit(count: int, dimension: int = 32, seed: int = 0) -> np.ndarray:
    """Clustered, as embeddings are."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(40, dimension))
    rows = (centres[rng.integers(0, 40, count)] + 0.4 * rng.normal(size=(count, dimension))).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


VECTORS = unit(3000)
IDS = np.arange(1, 3001) * 2  # not the positions


def built(kind: Kind) -> VectorIndex:
    return VectorIndex.build(32, kind, 3000, lambda: [(IDS[i : i + 1000], VECTORS[i : i + 1000]) for i in (0, 1000, 2000)])


def vectors_of(ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(ids), VECTORS[np.array(ids) // 2 - 1]


def recall(index: VectorIndex, queries: np.ndarray, mask: np.ndarray | None = None) -> float:
    allowed = None if mask is None else IDS[mask]
    _, found = index.search(queries, 10, allowed, vectors_of)
    scores = queries @ VECTORS.T
    if mask is not None:
        scores[:, ~mask] = -2
    expected = IDS[np.argsort(-scores, axis=1)[:, :10]]
    return float(np.mean([len(set(f) & set(e)) / 10 for f, e in zip(found.tolist(), expected.tolist(), strict=True)]))


@pytest.mark.parametrize(("kind", "least"), [("flat", 1.0), ("hnsw", 0.95), ("ivf-pq", 0.85)])
def test_recall(kind: Kind, least: float) -> None:
    assert recall(built(kind), unit(50, seed=1)) >= least


@pytest.mark.parametrize(("kind", "least"), [("flat", 1.0), ("hnsw", 0.95), ("ivf-pq", 0.85)])
@pytest.mark.parametrize("step", [3, 50])
def test_recall_under_a_filter(kind: Kind, least: float, step: int) -> None:
    assert recall(built(kind), unit(50, seed=1), IDS % step == 0) >= least


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf-pq"])
def test_only_allowed_and_never_removed(kind: Kind) -> None:
    index = built(kind)
    mask = IDS % 3 == 0
    index.remove([int(IDS[mask][0]), 7])
    _, found = index.search(VECTORS[mask][:1], 50, IDS[mask], vectors_of)
    real = found[found >= 0]
    assert len(real) > 5 and np.isin(real, IDS[mask][1:]).all()
    assert len(index) == 2999
    _, found = index.search(VECTORS[mask][:1], 50, None, vectors_of)
    assert IDS[mask][0] not in found


def test_what_is_not_there_any_more_is_not_found() -> None:
    """Between the search and the rescoring another process may remove."""
    index, gone = built("ivf-pq"), int(IDS[5])

    def rest(ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        return vectors_of([number for number in ids if number != gone])

    assert index.search(VECTORS[5:6], 3, None, vectors_of)[1][0, 0] == gone
    assert gone not in index.search(VECTORS[5:6], 3, None, rest)[1]


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf-pq"])
def test_save_and_load(kind: Kind, tmp_path: Path) -> None:
    index, path = built(kind), tmp_path / "vectors.faiss"
    index.remove([2])
    index.stamp = (5, -77)
    index.save(path)
    loaded = VectorIndex.load(path, 32)
    assert loaded is not None and (loaded.stamp, loaded.kind, loaded.last_id, len(loaded)) == ((5, -77), kind, 6000, 2999)
    assert stamp_and_count(path) == ((5, -77), 3000)
    for mine, theirs in zip(index.search(VECTORS[:3], 5), loaded.search(VECTORS[:3], 5), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert VectorIndex.load(path, 16) is None
    assert VectorIndex.load(tmp_path / "none", 32) is None and stamp_and_count(tmp_path / "none") == ((-1, 0), 0)
    assert [file.name for file in tmp_path.iterdir()] == ["vectors.faiss"]


def test_any_damage_is_seen(tmp_path: Path) -> None:
    path, rng = tmp_path / "vectors.faiss", np.random.default_rng(0)
    built("flat").save(path)
    data = path.read_bytes()
    for at in [0, *rng.integers(0, len(data), 30), len(data) - 1]:
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert VectorIndex.load(path, 32) is None
    for end in [0, 1, 40, *rng.integers(0, len(data), 10), len(data) - 1]:
        path.write_bytes(data[:end])
        assert VectorIndex.load(path, 32) is None
    path.write_bytes(data)
    assert VectorIndex.load(path, 32) is not None


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    old, new = tmp_path / "vectors.faiss.1.new", tmp_path / "vectors.faiss.2.new"
    old.write_bytes(b"x")
    new.write_bytes(b"x")  # another process may be at it
    os.utime(old, (0, 0))
    built("flat").save(tmp_path / "vectors.faiss")
    assert not old.exists() and new.exists()


def test_stale() -> None:
    index = built("ivf-pq")
    assert not index.stale()
    index.remove(IDS[:1001].tolist())
    assert index.stale()
    small = VectorIndex.build(32, "ivf-pq", 700, lambda: [(IDS[:700], VECTORS[:700])])
    small.add(IDS[700:], VECTORS[700:])
    assert small.stale(), "trained on a quarter of what it holds"


def test_growing() -> None:
    index = VectorIndex(32)
    for i in range(0, 3000, 500):
        index.add(IDS[i : i + 500], VECTORS[i : i + 500])
    assert recall(index, unit(20, seed=2)) == 1.0


def test_empty() -> None:
    scores, ids = VectorIndex(32).search(VECTORS[:2], 5)
    assert scores.shape == ids.shape == (2, 0)


def test_rules() -> None:
    sizes = (10, FLAT_UNTIL, FLAT_UNTIL + 1, HNSW_UNTIL, HNSW_UNTIL + 1)
    assert [choose(n) for n in sizes] == ["flat", "flat", "hnsw", "hnsw", "ivf-pq"]
    assert choose(10, "hnsw") == "hnsw" and choose(10**7, "flat") == "flat"
    assert choose(10, "ivf-pq") == "flat" and choose(10_000, "ivf-pq") == "ivf-pq", "it needs something to learn from"
    with pytest.raises(BadRequest, match="index 'tree' is unknown"):
        choose(10, "tree")
