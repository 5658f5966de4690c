"""The store's SQLite schema: tables, migrations, connections, and SQLite errors in plain words."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from mmgen.errors import Busy, MmgenError, NotFound, StoreError
from mmgen.stores import sqlite

APPLICATION = 0x6D6D676E  # "mmgn", in the file's header
VERSION = 4
TERMS_SINCE = 3
"""The format from which `terms` are what words are looked up in."""
IMAGE_KIND = "picture"
SHOWN_IMAGE_KIND = "image"
SHOWN_KIND = f"CASE documents.kind WHEN '{IMAGE_KIND}' THEN '{SHOWN_IMAGE_KIND}' ELSE documents.kind END"
"""SQL."""

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE commits (generation INTEGER PRIMARY KEY, token INTEGER NOT NULL);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uri TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, content_hash TEXT NOT NULL,
    text TEXT NOT NULL, pages TEXT NOT NULL, metadata TEXT NOT NULL, added_at TEXT NOT NULL DEFAULT (datetime('now')),
    language TEXT NOT NULL DEFAULT '');
CREATE INDEX documents_by_language ON documents(language);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, document_id INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, page INTEGER, heading TEXT NOT NULL, text TEXT NOT NULL,
    vector BLOB NOT NULL, terms TEXT, parts TEXT);
CREATE INDEX passages_of ON passages(document_id);
CREATE TABLE removed (id INTEGER PRIMARY KEY, generation INTEGER NOT NULL);
INSERT INTO commits VALUES (0, random());
"""
IMAGES = """
CREATE TABLE pictures (
    id INTEGER PRIMARY KEY AUTOINCREMENT, document_id INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
    source TEXT NOT NULL, source_hash TEXT NOT NULL, dhash INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    page INTEGER, caption TEXT NOT NULL, thumbnail BLOB NOT NULL, vector BLOB NOT NULL, terms TEXT, parts TEXT);
CREATE INDEX pictures_of ON pictures(document_id);
CREATE INDEX pictures_from ON pictures(source);
CREATE INDEX documents_by_content ON documents(content_hash);
CREATE TABLE removed_pictures (id INTEGER PRIMARY KEY, generation INTEGER NOT NULL);
"""
WORD_INDEX = """
CREATE VIRTUAL TABLE {index} USING fts5(terms, parts, content='{table}', content_rowid='id', tokenize='ascii');
INSERT INTO {index}({index}, rank) VALUES ('rank', 'bm25(1.0, {weight})');
CREATE TRIGGER {row}_without_terms BEFORE INSERT ON {table} WHEN new.terms IS NULL BEGIN
    SELECT RAISE(ABORT, 'a newer mmgen has converted this store; restart with that one');
END;
CREATE TRIGGER {row}_added AFTER INSERT ON {table} BEGIN
    INSERT INTO {index}(rowid, terms, parts) VALUES (new.id, new.terms, new.parts);
END;
CREATE TRIGGER {row}_removed AFTER DELETE ON {table} BEGIN
    INSERT INTO {index}({index}, rowid, terms, parts) VALUES ('delete', old.id, old.terms, old.parts);
    INSERT INTO {removed}(id, generation) VALUES (old.id, (SELECT max(generation) + 1 FROM commits));
END;
"""
PART_WEIGHT = 0.4
"""Of a word within a compound, where the word itself counts 1."""
WORD_INDEX_OF = {"passages": "words", "pictures": "captions"}
REMOVED = {"passages": "removed", "pictures": "removed_pictures"}
"""Table -> the table of ids that once were in it."""
WORD_INDEXES = "".join(
    WORD_INDEX.format(index=index, table=table, row=table[:-1], removed=REMOVED[table], weight=PART_WEIGHT)
    for table, index in WORD_INDEX_OF.items()
)
# Passages keep their text beside the document's: a search then never reads a whole document to show a passage.
# `commits` numbers the transactions; the random token tells this store's generation 7 from that of a restored or other one.
# `removed` tells a cached index, by generation, what to mask.
# An image is a document of kind IMAGE_KIND with a row in `pictures`, in a space of its own that `meta` names once there is one.
# The words of a format stay in its SQL, so that the release before reads the stores of this one; callers see SHOWN_KIND.
# `terms` and `parts` are what mmgen.stores.lexical makes of a text: the words that its index is to find it by. SQLite's own
# tokenizers part a letter from its marks and know no word of a script without spaces, so that FTS5 only splits at spaces here.
# Format 1 had no images, format 2 let FTS5 make words of the texts, format 3 left traditional Chinese as it is written.


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
        version = version_of(connection)
        empty = not application and not _tables(connection)
    if application == APPLICATION and version <= VERSION:
        return connection
    connection.close()
    if empty:  # another process is creating it, or was killed while creating it
        raise _absent(path)
    if application != APPLICATION:
        raise StoreError(f"{path} is some other program's SQLite file; give another --store")
    raise StoreError(f"store {path.parent} has format {version}, this mmgen reads up to {VERSION}; upgrade mmgen")


def create(path: Path, encoder: str, dimension: int, timeout: float = 5.0, prompts: Mapping[str, str] | None = None) -> None:
    """Creates a store atomically; an existing one is left as it is. `prompts`: of its encoder, by side."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as why:
        raise StoreError(f"store {path.parent} cannot be made ({why.strerror}); give another --store") from None
    until = time.monotonic() + timeout
    while True:
        try:
            with translated_errors(path):
                return _make(path, encoder, dimension, timeout, prompts or {})
        except Busy:  # SQLite waits for locks, but not when two change to WAL at once
            if time.monotonic() > until:
                raise
            time.sleep(0.01)


def _make(path: Path, encoder: str, dimension: int, timeout: float, prompts: Mapping[str, str]) -> None:
    connection = sqlite3.connect(path, timeout=timeout, isolation_level=None)
    try:
        if _tables(connection):
            return
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        if not _tables(connection):  # no other process did it meanwhile
            for statement in statements(TABLES + IMAGES + WORD_INDEXES):
                connection.execute(statement)
            meta = {"encoder": encoder, "dimension": dimension, "prompts": json.dumps(dict(prompts))}
            connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
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


def version_of(connection: sqlite3.Connection) -> int:
    """The format of the file."""
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


def statements(script: str) -> Iterator[str]:
    """The SQL statements of a script, one by one: sqlite3's own `executescript` commits."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
