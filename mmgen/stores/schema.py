"""The store's SQLite schema: tables, migrations, connections, and SQLite errors in plain words."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from mmgen.errors import Busy, MmgenError, NotFound, StoreError
from mmgen.stores import sqlite

APPLICATION = 0x6D6D676E  # "mmgn", in the file's header
VERSION = 2
IMAGE_KIND = "picture"
SHOWN_KIND = f"CASE documents.kind WHEN '{IMAGE_KIND}' THEN 'image' ELSE documents.kind END"
"""SQL."""

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE commits (generation INTEGER PRIMARY KEY, token INTEGER NOT NULL);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uri TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, content_hash TEXT NOT NULL,
    text TEXT NOT NULL, pages TEXT NOT NULL, metadata TEXT NOT NULL, added_at TEXT NOT NULL DEFAULT (datetime('now')));
CREATE TABLE passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, document_id INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, page INTEGER, heading TEXT NOT NULL, text TEXT NOT NULL,
    vector BLOB NOT NULL);
CREATE INDEX passages_of ON passages(document_id);
CREATE TABLE removed (id INTEGER PRIMARY KEY, generation INTEGER NOT NULL);
CREATE VIRTUAL TABLE words USING fts5(
    text, content='passages', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2');
CREATE TRIGGER passage_added AFTER INSERT ON passages BEGIN
    INSERT INTO words(rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER passage_removed AFTER DELETE ON passages BEGIN
    INSERT INTO words(words, rowid, text) VALUES ('delete', old.id, old.text);
    INSERT INTO removed(id, generation) VALUES (old.id, (SELECT max(generation) + 1 FROM commits));
END;
INSERT INTO commits VALUES (0, random());
"""
IMAGES = """
CREATE TABLE pictures (
    id INTEGER PRIMARY KEY AUTOINCREMENT, document_id INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
    source TEXT NOT NULL, source_hash TEXT NOT NULL, dhash INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    page INTEGER, caption TEXT NOT NULL, thumbnail BLOB NOT NULL, vector BLOB NOT NULL);
CREATE INDEX pictures_of ON pictures(document_id);
CREATE INDEX pictures_from ON pictures(source);
CREATE INDEX documents_by_content ON documents(content_hash);
CREATE TABLE removed_pictures (id INTEGER PRIMARY KEY, generation INTEGER NOT NULL);
CREATE VIRTUAL TABLE captions USING fts5(
    caption, content='pictures', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2');
CREATE TRIGGER picture_added AFTER INSERT ON pictures BEGIN
    INSERT INTO captions(rowid, caption) VALUES (new.id, new.caption);
END;
CREATE TRIGGER picture_removed AFTER DELETE ON pictures BEGIN
    INSERT INTO captions(captions, rowid, caption) VALUES ('delete', old.id, old.caption);
    INSERT INTO removed_pictures(id, generation) VALUES (old.id, (SELECT max(generation) + 1 FROM commits));
END;
"""
# Passages keep their text beside the document's: a search then never reads a whole document to show a passage.
# `commits` numbers the transactions; the random token tells this store's generation 7 from that of a restored or other one.
# `removed` tells a cached index, by generation, what to mask.
# An image is a document of kind IMAGE_KIND with a row in `pictures`, in a space of its own that `meta` names once there is one.
# The words of a format stay in its SQL, so that the release before reads the stores of this one; callers see SHOWN_KIND.
# Format 1 had no images.


def translated_errors(path: Path) -> AbstractContextManager[None]:
    """Raises SQLite's errors about a store as MmgenErrors."""
    return sqlite.translated_errors(f"store {path.parent}", partial(_translate, path))


def _translate(path: Path, text: str, code: int) -> MmgenError:
    store = path.parent
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Busy(f"store {store} is being written by another process; try again when it is done")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        free = f"{shutil.disk_usage(store).free:,} bytes free" if store.exists() else "the folder is gone"
        return StoreError(f"store {store} cannot grow ({text}, {free}); make room, what was added before is safe")
    if code == sqlite3.SQLITE_NOTADB:
        return StoreError(f"{path} is no mmgen store; give another --store")
    if code == sqlite3.SQLITE_CANTOPEN:
        return StoreError(f"store {store} cannot be opened ({text}); check its permissions")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StoreError(f"store {store} cannot be written ({text}); check its permissions")
    if code == sqlite3.SQLITE_TOOBIG:
        return StoreError(f"a document is larger than SQLite can hold ({text}, 1,000,000,000 bytes); split it")
    return StoreError(f"store {store} is damaged ({text}); restore a copy, or add the documents anew")


def connect(path: Path, readonly: bool, timeout: float = 5.0) -> sqlite3.Connection:
    """A connection to an existing store, after checking its format; `create` makes a new one.

    Raises:
        NotFound: no such store.
        StoreError: another kind of file, a store of a newer format, or one that may not be read.
    """
    _check_exists(path)
    with translated_errors(path):
        connection = _open(path, readonly, timeout)
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        version = _version(connection)
        empty = not application and not _tables(connection)
    if application == APPLICATION and version <= VERSION:
        return connection
    connection.close()
    if empty:  # another process is creating it, or was killed while creating it
        raise _absent(path)
    if application != APPLICATION:
        raise StoreError(f"{path} is some other program's SQLite file; give another --store")
    raise StoreError(f"store {path.parent} has format {version}, this mmgen reads up to {VERSION}; upgrade mmgen")


def create(path: Path, encoder: str, dimension: int, timeout: float = 5.0) -> None:
    """Creates a store atomically; an existing one is left as it is."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as why:
        raise StoreError(f"store {path.parent} cannot be made ({why.strerror}); give another --store") from None
    until = time.monotonic() + timeout
    while True:
        try:
            with translated_errors(path):
                return _make(path, encoder, dimension, timeout)
        except Busy:  # SQLite waits for locks, but not when two change to WAL at once
            if time.monotonic() > until:
                raise
            time.sleep(0.01)


def migrate(connection: sqlite3.Connection) -> None:
    """Migrates a store of an older format atomically; its content stays."""
    if _version(connection) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _version(connection) == 1:  # no other process did it meanwhile
            for statement in _statements(IMAGES):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _make(path: Path, encoder: str, dimension: int, timeout: float) -> None:
    connection = sqlite3.connect(path, timeout=timeout, isolation_level=None)
    try:
        if _tables(connection):
            return
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        if not _tables(connection):  # no other process did it meanwhile
            for statement in _statements(TABLES + IMAGES):
                connection.execute(statement)
            connection.executemany("INSERT INTO meta VALUES (?, ?)", [("encoder", encoder), ("dimension", dimension)])
            connection.execute(f"PRAGMA application_id={APPLICATION}")
            connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("COMMIT")
    finally:
        connection.close()


def _absent(path: Path) -> NotFound:
    store = path.parent
    return NotFound(f"there is no store at {store}; make one with: mmgen rag add PATH --store {store}, or mmgen image add")


def _check_exists(path: Path) -> None:
    """Checks without opening: closing a file of ours would drop SQLite's own locks (sqlite.org/howtocorrupt.html, 2.2)."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise _absent(path) from None
    except OSError as why:
        raise StoreError(f"store {path.parent} cannot be opened ({why.strerror}); check its permissions") from None


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _tables(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _open(path: Path, readonly: bool, timeout: float) -> sqlite3.Connection:
    # check_same_thread: connections are lent to one thread at a time, not bound to it
    if not readonly:
        connection = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")  # with WAL, NORMAL could lose the last commits in a power cut
        return connection
    uri = path.resolve().as_uri()
    connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=timeout, check_same_thread=False)
    try:
        _tables(connection)
    except sqlite3.OperationalError as why:
        connection.close()
        if why.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
        # WAL needs to write a file beside the store; on a read-only folder it is opened as immutable instead
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise StoreError(
                f"store {path.parent} was not closed properly and cannot be put in order here; copy the folder to where it can"
                " be written"
            ) from None
        connection = sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    return connection


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
