"""Connections are pooled, writes are transactions, and a closed or read-only store says so."""

from pathlib import Path

import pytest

from mmgen.errors import Closed, StoreError
from mmgen.stores import schema
from mmgen.stores.database import Database

COMMITS = "SELECT count(*) FROM commits"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    schema.create(tmp_path / "store.sqlite", "e", 4)
    return tmp_path / "store.sqlite"


def test_a_transaction_is_one_commit_or_none(path: Path) -> None:
    database = Database(path, readonly=False, timeout=1)
    assert database.one(COMMITS) == (1,) and not database.wrote
    with database.transaction() as connection:
        connection.execute("INSERT INTO meta VALUES ('a', 1)")
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:
        connection.execute("INSERT INTO meta VALUES ('b', 1)")
        _ = 1 // 0
    assert database.one(COMMITS) == (2,) and database.wrote
    assert database.all("SELECT key FROM meta WHERE key IN ('a', 'b')") == [("a",)]
    database.close()


def test_closed_and_read_only(path: Path) -> None:
    reader = Database(path, readonly=True, timeout=1)
    with pytest.raises(StoreError, match="opened for reading only"), reader.transaction():
        pass
    reader.close()
    with pytest.raises(Closed, match="was closed; open it again"):
        reader.one(COMMITS)
