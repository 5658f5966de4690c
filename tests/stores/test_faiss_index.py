from pathlib import Path

import numpy as np
import pytest

from mmgen.errors import BadRequest
from mmgen.stores.faiss_index import Kind, VectorIndex, choose


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


def vectors_of(ids: list[int]) -> np.ndarray:
    return VECTORS[np.array(ids) // 2 - 1]


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


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf-pq"])
def test_only_allowed_and_never_removed(kind: Kind) -> None:
    index = built(kind)
    mask = IDS % 3 == 0
    index.remove([int(IDS[mask][0]), 7])
    _, found = index.search(VECTORS[mask][:1], 50, IDS[mask], vectors_of)
    real = found[found >= 0]
    assert len(real) > 5 and np.isin(real, IDS[mask][1:]).all()
    assert len(index) == 2999


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf-pq"])
def test_save_and_load(kind: Kind, tmp_path: Path) -> None:
    index = built(kind)
    index.remove([2])
    index.generation = 5
    index.save(tmp_path / "vectors")
    loaded = VectorIndex.load(tmp_path / "vectors", 32)
    assert loaded is not None and (loaded.generation, loaded.kind, loaded.last_id, len(loaded)) == (5, kind, 6000, 2999)
    for mine, theirs in zip(index.search(VECTORS[:3], 5), loaded.search(VECTORS[:3], 5), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert VectorIndex.load(tmp_path / "vectors", 16) is None
    assert VectorIndex.load(tmp_path / "none", 32) is None
    assert not list(tmp_path.glob("*.new*"))


def test_growing() -> None:
    index = VectorIndex(32)
    for i in range(0, 3000, 500):
        index.add(IDS[i : i + 500], VECTORS[i : i + 500])
    assert recall(index, unit(20, seed=2)) == 1.0


def test_empty() -> None:
    scores, ids = VectorIndex(32).search(VECTORS[:2], 5)
    assert scores.shape == ids.shape == (2, 0)


def test_rules() -> None:
    assert [choose(n) for n in (10, 200_000, 200_001, 1_000_000, 1_000_001)] == ["flat", "flat", "hnsw", "hnsw", "ivf-pq"]
    with pytest.raises(BadRequest, match="index 'tree' is unknown"):
        VectorIndex(8, "tree")  # type: ignore[arg-type]
