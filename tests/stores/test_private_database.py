"""A private SQLite file: whole transactions, one at a time, for its owner's eyes."""

import sqlite3
import threading
from pathlib import Path

import pytest

from mmgen.errors import Busy, Closed, StoreError
from mmgen.stores.private_database import PrivateDatabase

SCRIPT = "CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY);"


def test_whole_or_not_at_all(tmp_path: Path) -> None:
    tables = PrivateDatabase(tmp_path / "t.db", SCRIPT)
    with tables.transaction() as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(KeyError), tables.transaction() as connection:
        connection.execute("INSERT INTO t VALUES (2)")
        raise KeyError
    assert tables.all("SELECT n FROM t") == [(1,)]
    tables.close()
    again = PrivateDatabase(tmp_path / "t.db", SCRIPT)
    assert again.one("SELECT n FROM t") == (1,) and again.one("SELECT n FROM t WHERE n = 2") is None
    again.close()
    with pytest.raises(Closed, match="open it again"):
        again.all("SELECT n FROM t")


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "t.db"
    tables = PrivateDatabase(path, SCRIPT)
    with tables.transaction() as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == {"t.db": 0o600, "t.db-wal": 0o600, "t.db-shm": 0o600} and path.parent.stat().st_mode & 0o777 == 0o700
    path.chmod(0o644)  # as a careless copy leaves it
    PrivateDatabase(path, SCRIPT).close()
    assert path.stat().st_mode & 0o777 == 0o600
    tables.close()


def test_many_open_it_at_once(tmp_path: Path) -> None:
    def work(first: int) -> None:
        tables = PrivateDatabase(tmp_path / "t.db", SCRIPT)
        for n in range(first, first + 20):
            with tables.transaction() as connection:
                connection.execute("INSERT INTO t VALUES (?)", (n,))
        tables.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in (0, 100, 200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(PrivateDatabase(tmp_path / "t.db", SCRIPT).all("SELECT n FROM t")) == 80


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("no database, but a text that is long enough to be looked at" * 20)
    with pytest.raises(StoreError, match="damaged or another program's"):
        PrivateDatabase(tmp_path / "notes.db", SCRIPT)
    with pytest.raises(StoreError, match="cannot be made for you alone"):
        PrivateDatabase(tmp_path / "notes.db" / "t.db", SCRIPT)
    tables = PrivateDatabase(tmp_path / "t.db", SCRIPT, timeout=0.05)
    other = sqlite3.connect(tmp_path / "t.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy, match="another process"), tables.transaction():
        pass
    other.close()
    with tables.transaction():  # and then it goes on
        pass
    tables.close()
