"""The index follows the database, survives in its file, and is rebuilt where that file is of no use."""

from pathlib import Path

import numpy as np
import pytest

from mmgen.stores import schema
from mmgen.stores.database import Database
from mmgen.stores.metadata_filter import parse
from mmgen.stores.vector_cache import VectorCache

D = 4


@pytest.fixture
def database(tmp_path: Path) -> Database:
    schema.create(tmp_path / "store.sqlite", "e", D)
    made = Database(tmp_path / "store.sqlite", readonly=False, timeout=1)
    with made.transaction() as connection:
        connection.execute(
            "INSERT INTO documents(uri, kind, content_hash, text, pages, metadata) VALUES ('a','','','','','{}')"
        )
    return made


def add(database: Database, *axes: int) -> None:
    with database.transaction() as connection:
        for axis in axes:
            vector = np.eye(D, dtype=np.float32)[axis].tobytes()
            connection.execute(
                "INSERT INTO passages(document_id, start, end, heading, text, vector, terms) VALUES (1, 0, 1, '', 'x', ?, 'x')",
                (vector,),
            )


def cache(database: Database, tmp_path: Path) -> VectorCache:
    return VectorCache(database, tmp_path / "index", D, "auto")


def test_it_follows_what_is_added_and_removed(database: Database, tmp_path: Path) -> None:
    vectors = cache(database, tmp_path)
    query = np.eye(D, dtype=np.float32)[2]
    add(database, 0, 1)
    assert set(vectors.nearest(query, 2)) == {1, 2}
    add(database, 2)
    assert next(iter(vectors.nearest(query, 1).items())) == (3, pytest.approx(1.0))
    with database.transaction() as connection:
        connection.execute("DELETE FROM passages WHERE id = 3")
    assert 3 not in vectors.nearest(query, 3)
    assert {number for number in vectors.search(query[None], 3, allowed=np.array([2]))[1][0].tolist() if number >= 0} == {2}
    assert set(vectors.nearest(query, 3, parse(["uri=a"]))) == {1, 2} and not vectors.nearest(query, 3, parse(["uri=b"]))
    scores, ids = vectors.exact(query[None], 2, [1, 2, 99])
    assert sorted(ids[0].tolist()) == [1, 2] and scores.shape == (1, 2)
    vectors.close()
    database.close()


def test_a_damaged_file_is_rebuilt(database: Database, tmp_path: Path) -> None:
    add(database, 0, 1, 2)
    first = cache(database, tmp_path)
    first.rebuild_if_due()
    first.close()
    assert (tmp_path / "index").is_file()
    (tmp_path / "index").write_bytes(b"damaged")
    again = cache(database, tmp_path)
    assert list(again.nearest(np.eye(D, dtype=np.float32)[1], 1)) == [2] and again.kind == "flat"
    again.close()
    database.close()
