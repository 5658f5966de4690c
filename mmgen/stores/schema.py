"""The store's SQLite file: tables, version, connections, and its errors in plain words. Knows no documents."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmgen.errors import Busy, NotFound, StoreError

APPLICATION = 0x6D6D676E  # "mmgn", in the file's header
VERSION = 1

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uri TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, content_hash TEXT NOT NULL,
    text TEXT NOT NULL, pages TEXT NOT NULL, metadata TEXT NOT NULL, added_at TEXT NOT NULL DEFAULT (datetime('now')));
CREATE TABLE passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, document_id INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, page INTEGER, heading TEXT NOT NULL, text TEXT NOT NULL, vector BLOB NOT NULL);
CREATE INDEX passages_of ON passages(document_id);
CREATE TABLE removed (id INTEGER PRIMARY KEY, generation INTEGER NOT NULL);
CREATE VIRTUAL TABLE words USING fts5(
    text, content='passages', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2');
CREATE TRIGGER passage_added AFTER INSERT ON passages BEGIN
    INSERT INTO words(rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER passage_removed AFTER DELETE ON passages BEGIN
    INSERT INTO words(words, rowid, text) VALUES ('delete', old.id, old.text);
    INSERT INTO removed(id, generation) VALUES (old.id, (SELECT value + 1 FROM meta WHERE key = 'generation'));
END;
INSERT INTO meta VALUES ('generation', 0);
"""
# Passages keep their text beside the document's: a search then never reads a whole document to show a passage.
# `removed` tells a cached index, by generation, what to mask.


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """SQLite's errors as one line that says what to do."""
    try:
        yield
    except sqlite3.DatabaseError as why:
        text = str(why)
        if "locked" in text or "busy" in text:
            raise Busy(f"store {path.parent} is being written by another process; try again when it is done") from None
        if "full" in text or "disk I/O" in text:
            free = shutil.disk_usage(path.parent).free
            raise StoreError(
                f"store {path.parent} cannot grow ({text}, {free:,} bytes free); make room, what was added before is safe"
            ) from None
        if "readonly" in text or "unable to open" in text:
            raise StoreError(f"store {path.parent} cannot be written ({text}); check its permissions") from None
        raise StoreError(f"store {path.parent} is damaged ({text}); restore a copy, or add the documents anew") from None


def connect(path: Path, readonly: bool, timeout: float = 5.0) -> sqlite3.Connection:
    """A connection to a store that exists, checked to be one; see `create` for a new one.

    Raises:
        NotFound: no such store.
        StoreError: another kind of file, or a store of a newer format.
    """
    if not path.is_file():
        raise NotFound(f"there is no store at {path.parent}; make one with: mmgen rag add PATH --store {path.parent}")
    with path.open("rb") as file:
        head = file.read(16)
    if head and head != b"SQLite format 3\0":
        raise StoreError(f"{path} is no mmgen store; give another --store")
    with explained(path):
        connection = _open(path, readonly, timeout)
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        connection.close()
        raise StoreError(f"{path} is some other program's SQLite file; give another --store")
    if version > VERSION:
        connection.close()
        raise StoreError(f"store {path.parent} has format {version}, this mmgen reads up to {VERSION}; upgrade mmgen")
    return connection


def create(path: Path, encoder: str, dimension: int) -> None:
    """A new store, whole or not at all; an existing one is left as it is."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as why:
        raise StoreError(f"store {path.parent} cannot be made ({why.strerror}); give another --store") from None
    if path.is_file() and path.stat().st_size:
        return
    with explained(path):
        connection = sqlite3.connect(path, timeout=5.0, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("BEGIN IMMEDIATE")
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:  # nobody was faster
                for statement in _statements(TABLES):
                    connection.execute(statement)
                connection.executemany("INSERT INTO meta VALUES (?, ?)", [("encoder", encoder), ("dimension", dimension)])
                connection.execute(f"PRAGMA application_id={APPLICATION}")
                connection.execute(f"PRAGMA user_version={VERSION}")
            connection.execute("COMMIT")
        finally:
            connection.close()


def _open(path: Path, readonly: bool, timeout: float) -> sqlite3.Connection:
    # check_same_thread: a connection is used by its own thread, and closed by whoever closes the store
    if not readonly:
        connection = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")  # with WAL, NORMAL could lose the last commits in a power cut
        return connection
    uri = path.resolve().as_uri()
    connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=timeout, check_same_thread=False)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:  # no -shm can be made in a folder that nobody writes: then nothing changes either
        connection.close()
        connection = sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    return connection


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
