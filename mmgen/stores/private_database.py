"""A small private SQLite file: one connection, serialized between threads."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from mmgen.errors import Busy, MmgenError, NoSpace, StoreError
from mmgen.stores import sqlite


class PrivateDatabase:
    """Other processes may have it open too. What was written survives kill -9; a power cut may take the last seconds."""

    def __init__(self, path: Path, script: str, timeout: float = 5.0) -> None:
        """Opened, and made first where it is new; readable by its owner alone.

        `script`: CREATE ... IF NOT EXISTS statements. `timeout`: seconds to wait for another process that writes; then Busy.
        """
        self.path = path
        self._turn = threading.RLock()
        _make_private(path)
        with _translated_errors(path):
            self._connection = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
            _patiently(self._connection, "PRAGMA journal_mode=WAL", timeout)
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute("PRAGMA foreign_keys=ON")
            self._connection.executescript(f"BEGIN IMMEDIATE; {script} COMMIT;")

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Every row."""
        with self._turn, _translated_errors(self.path):
            return self._connection.execute(sql, parameters).fetchall()

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The first row, or None."""
        with self._turn, _translated_errors(self.path):
            return self._connection.execute(sql, parameters).fetchone()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside is stored when it ends, or nothing of it; no other thread or process writes meanwhile."""
        with self._turn, _translated_errors(self.path), sqlite.transaction(self._connection):
            yield self._connection

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def searchable(self, text: str) -> str:
        """What the column `text` of a table with FTS5's `words` holds."""
        return text

    def matching(self, words: Sequence[str], prefixes: bool = False) -> tuple[str, list[str]]:
        """A condition for rows that have all the words, or words that begin so, and its parameters."""
        query = " ".join(f'"{word}"*' if prefixes else f'"{word}"' for word in words)
        return "number IN (SELECT rowid FROM words WHERE words MATCH ?)", [query]

    def close(self) -> None:
        with self._turn:
            self._connection.close()


def _make_private(path: Path) -> None:
    """Never opens a file that is there: closing it would drop SQLite's own locks (sqlite.org/howtocorrupt.html, 2.2)."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
        for file in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
            if file.exists() and file.stat().st_mode & 0o077:
                file.chmod(0o600)
    except OSError as why:
        raise StoreError(f"{path} cannot be made for you alone ({why.strerror}); check permissions and MMGEN_HOME") from None


def _patiently(connection: sqlite3.Connection, sql: str, timeout: float) -> None:
    """SQLite waits for locks, but not when two change to WAL at once."""
    until = time.monotonic() + timeout
    while True:
        try:
            connection.execute(sql)
            return
        except sqlite3.OperationalError as why:
            if why.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _translated_errors(path: Path) -> AbstractContextManager[None]:
    return sqlite.translated_errors(str(path), partial(_plain, path))


def _plain(path: Path, text: str, code: int) -> MmgenError:
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Busy(f"{path} is being written by another process; try again when it is done")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return NoSpace(f"{path} cannot grow ({text}); make room, what was written before is safe")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StoreError(f"{path} cannot be opened or written ({text}); check its permissions")
    return StoreError(f"{path} is damaged or another program's ({text}); move it away or restore a copy")
