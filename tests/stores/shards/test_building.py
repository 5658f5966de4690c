"""What cannot be built is told with its numbers."""

from pathlib import Path

import numpy as np
import pytest
from stores.shards.test_side_by_side import unit

from mmgen.errors import BadRequest
from mmgen.stores.shards import building
from mmgen.stores.shards.disk_index import DiskIndex


def test_numbers_that_do_not_fit(tmp_path: Path) -> None:
    parts = [(np.arange(100), unit(100, 16, 0))]
    with pytest.raises(BadRequest, match="code_bytes is 5"):
        building.build(tmp_path, 16, lambda: parts, code_bytes=5)
    with pytest.raises(BadRequest, match="100 vectors cannot train 4,096 lists; take at most 2"):
        building.build(tmp_path, 16, lambda: parts, code_bytes=4)
    with pytest.raises(BadRequest, match="5 vectors cannot train 1 lists, which need at least 16"):
        building.build(tmp_path, 16, lambda: [(np.arange(5), unit(5, 16, 0))], lists=1, code_bytes=4)
    with pytest.raises(BadRequest, match="code_bytes is 0"):
        building.build(tmp_path, 16, lambda: parts, code_bytes=0)
    with pytest.raises(BadRequest, match="shards is 1 and lists 0"):
        building.build(tmp_path, 16, lambda: parts, lists=0)


def test_a_shard_without_vectors_finds_none(tmp_path: Path) -> None:
    parts = [(np.arange(400), unit(400, 16, 0))]
    folders = building.build(
        tmp_path, 16, lambda: parts, shards=2, lists=4, code_bytes=4, shard=lambda ids, shards: np.zeros(len(ids), np.int64)
    )
    with pytest.raises(BadRequest, match="holds shards already"):
        building.build(tmp_path, 16, lambda: parts, lists=4, code_bytes=4)
    full, empty = map(DiskIndex, folders)
    assert (len(full), len(empty)) == (400, 0) and empty.search(unit(2, 16, 1), 3)[1].shape == (2, 0)
