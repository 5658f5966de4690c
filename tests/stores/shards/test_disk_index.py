"""Indexes on disk: the best by their true vectors, from files that are only mapped."""

import json
from pathlib import Path

import faiss
import numpy as np
import pytest
from stores.shards.test_side_by_side import unit

from mmgen.errors import BadRequest, NotFound, StoreError
from mmgen.stores.shards import building
from mmgen.stores.shards.disk_index import CODES, FACTS, DiskIndex
from mmgen.stores.shards.side_by_side import SideBySide


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], np.ndarray]:
    vectors = unit(4000, 16, 2)
    ids = np.arange(10, 4010)
    parts = [(ids[first : first + 700], vectors[first : first + 700]) for first in range(0, 4000, 700)]
    folder = tmp_path_factory.mktemp("shards")
    return building.build(folder, 16, lambda: parts, shards=3, lists=16, code_bytes=4, dtype="float32"), vectors


def test_all_lists_and_many_candidates_find_the_nearest(built: tuple[list[Path], np.ndarray]) -> None:
    folders, vectors = built
    shards = [DiskIndex(folder, probes=16, candidates=4000) for folder in folders]
    assert sum(map(len, shards)) == 4000 and min(map(len, shards)) > 1000
    together = SideBySide(shards)
    scores, ids = together.search(unit(20, 16, 3), 5)
    products = unit(20, 16, 3) @ vectors.T
    assert np.array_equal(ids, 10 + np.argsort(-products, axis=1)[:, :5])
    assert np.allclose(scores, -np.sort(-products, axis=1)[:, :5], atol=1e-6)
    few = SideBySide([DiskIndex(folder, probes=4, candidates=40) for folder in folders])
    _, found = few.search(vectors[:50], 1)
    assert (found[:, 0] == 10 + np.arange(50)).mean() > 0.9, "itself is the nearest"
    for one in (few, together):
        one.close()


def test_what_is_mapped_is_not_read(built: tuple[list[Path], np.ndarray]) -> None:
    index = DiskIndex(built[0][0])
    assert isinstance(index.vectors, np.memmap) and not index.vectors.flags.writeable
    assert type(faiss.downcast_InvertedLists(index.faiss.invlists)).__name__ == "OnDiskInvertedLists"


def test_what_is_torn_is_told(built: tuple[list[Path], np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"facts.json is missing\); build it"):
        DiskIndex(tmp_path)
    with pytest.raises(BadRequest, match="above 0"):
        DiskIndex(built[0][0], probes=0)
    facts = json.loads((built[0][0] / FACTS).read_text())
    for name in ("ids.bin", "vectors.bin", CODES):
        (tmp_path / name).write_bytes((built[0][0] / name).read_bytes())
    (tmp_path / FACTS).write_text(json.dumps({**facts, "count": facts["count"] - 1}))
    with pytest.raises(StoreError, match=r"codes for .* vectors; build it again"):
        DiskIndex(tmp_path)
    (tmp_path / FACTS).write_text(json.dumps(facts))
    (tmp_path / CODES).write_bytes(b"torn")
    with pytest.raises(StoreError, match="damaged"):
        DiskIndex(tmp_path)
