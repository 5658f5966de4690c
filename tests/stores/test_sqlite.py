"""Transactions that hold wholly or not at all, and SQLite's errors as ours."""

import sqlite3

import pytest

from mmgen.errors import Closed, MmgenError, StoreError
from mmgen.stores import sqlite


@pytest.fixture
def connection() -> sqlite3.Connection:
    made = sqlite3.connect(":memory:", isolation_level=None)
    made.execute("CREATE TABLE t (x INTEGER UNIQUE)")
    return made


def test_a_failed_transaction_is_rolled_back(connection: sqlite3.Connection) -> None:
    with sqlite.transaction(connection):
        connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(sqlite3.IntegrityError), sqlite.transaction(connection):
        connection.execute("INSERT INTO t VALUES (2)")
        connection.execute("INSERT INTO t VALUES (1)")
    assert connection.execute("SELECT x FROM t").fetchall() == [(1,)] and not connection.in_transaction


def test_errors_are_translated_by_their_primary_code(connection: sqlite3.Connection) -> None:
    seen: list[int] = []

    def translate(text: str, code: int) -> MmgenError:
        seen.append(code)
        return StoreError(f"it fails ({text}); retry")

    connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(StoreError, match=r"it fails \(UNIQUE"), sqlite.translated_errors("it", translate):
        connection.execute("INSERT INTO t VALUES (1)")
    assert seen == [sqlite3.SQLITE_CONSTRAINT]
    connection.close()
    with pytest.raises(Closed, match="it was closed; open it again"), sqlite.translated_errors("it", translate):
        connection.execute("SELECT 1")
    with pytest.raises(ZeroDivisionError), sqlite.translated_errors("it", translate):
        _ = 1 // 0
