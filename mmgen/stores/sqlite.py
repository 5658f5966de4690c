"""Shared SQLite helpers: transactions, and SQLite errors as MmgenErrors."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mmgen.errors import Closed, MmgenError


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything inside is stored when it ends, or nothing of it; no other process writes meanwhile."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled back already
            connection.execute("ROLLBACK")
        raise


@contextmanager
def translated_errors(name: str, translate: Callable[[str, int], MmgenError]) -> Iterator[None]:
    """Raises SQLite's errors as MmgenErrors: `translate` gets SQLite's message and its primary result code."""
    try:
        yield
    except sqlite3.ProgrammingError as why:
        if "closed" not in str(why):
            raise  # a bug in mmgen
        raise Closed(f"{name} was closed; open it again") from None
    except sqlite3.DatabaseError as why:
        raise translate(str(why), getattr(why, "sqlite_errorcode", 0) & 0xFF) from None
