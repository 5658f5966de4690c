"""A store's file: created whole, recognised, migrated, and refused where it is something else."""

import sqlite3
from pathlib import Path

import pytest

from mmgen.errors import NotFound, StoreError
from mmgen.stores import schema


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "store" / "store.sqlite"
    schema.create(file, "embedded:minilm", 8)
    return file


def test_creating_twice_keeps_the_first(path: Path) -> None:
    schema.create(path, "another", 16)
    connection = schema.connect(path, readonly=True)
    kept = dict(connection.execute("SELECT key, value FROM meta"))
    assert (kept["encoder"], kept["dimension"]) == ("embedded:minilm", 8)
    connection.close()


def test_what_is_no_store_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no store at"):
        schema.connect(tmp_path / "nowhere" / "store.sqlite", readonly=True)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(StoreError, match="some other program's SQLite file"):
        schema.connect(other, readonly=False)
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version={schema.VERSION + 1}")
    newer.close()
    with pytest.raises(StoreError, match=f"has format {schema.VERSION + 1}, this mmgen reads up to {schema.VERSION}"):
        schema.connect(path, readonly=False)
