"""Stores of older formats become one of today's: in one transaction, so that a kill leaves the old store as it was."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator

from mmgen.stores import sqlite
from mmgen.stores.lexical import analyzer, language
from mmgen.stores.lexical.normalization import HAN
from mmgen.stores.schema import IMAGES, TERMS_SINCE, VERSION, WORD_INDEXES, statements, version_of

log = logging.getLogger(__name__)
TELL_EVERY = 10.0  # seconds

OLD_WORDS = """
DROP TRIGGER IF EXISTS passage_added;
DROP TRIGGER IF EXISTS passage_removed;
DROP TRIGGER IF EXISTS picture_added;
DROP TRIGGER IF EXISTS picture_removed;
DROP TABLE IF EXISTS words;
DROP TABLE IF EXISTS captions;
ALTER TABLE documents ADD COLUMN language TEXT NOT NULL DEFAULT '';
CREATE INDEX documents_by_language ON documents(language);
ALTER TABLE passages ADD COLUMN terms TEXT;
ALTER TABLE passages ADD COLUMN parts TEXT;
"""
IMAGE_WORDS = """
ALTER TABLE pictures ADD COLUMN terms TEXT;
ALTER TABLE pictures ADD COLUMN parts TEXT;
"""
REBUILD = """
INSERT INTO words(words) VALUES ('rebuild');
INSERT INTO captions(captions) VALUES ('rebuild');
"""


def migrate(connection: sqlite3.Connection) -> None:
    """Does nothing to a store of today's format. Texts, offsets and vectors stay as they are; long work is told in the log."""
    if version_of(connection) == VERSION:
        return
    with sqlite.transaction(connection):
        version = version_of(connection)
        if version == VERSION:  # another process did it meanwhile
            return
        if version < TERMS_SINCE:
            _run(connection, OLD_WORDS + (IMAGES if version == 1 else IMAGE_WORDS))
            _index_words(connection)
            _run(connection, WORD_INDEXES + REBUILD)
        elif _index_han(connection):
            _run(connection, REBUILD)
        connection.execute(f"PRAGMA user_version={VERSION}")


def _run(connection: sqlite3.Connection, script: str) -> None:
    for statement in statements(script):
        connection.execute(statement)


def _index_words(connection: sqlite3.Connection) -> None:
    """Finds out every document's language and makes the terms of its passages and captions."""
    ids = [number for (number,) in connection.execute("SELECT id FROM documents ORDER BY id")]
    for number in _told(ids):
        (text,) = connection.execute("SELECT text FROM documents WHERE id = ?", (number,)).fetchone()
        code = language.detected(text)
        connection.execute("UPDATE documents SET language = ? WHERE id = ?", (code, number))
        for table, column in (("passages", "text"), ("pictures", "caption")):
            rows = connection.execute(f"SELECT id, {column} FROM {table} WHERE document_id = ?", (number,)).fetchall()
            connection.executemany(
                f"UPDATE {table} SET terms = ?, parts = ? WHERE id = ?",
                [(*analyzer.columns(text, code), row) for row, text in rows],
            )


def _index_han(connection: sqlite3.Connection) -> bool:
    """Makes the terms of texts with Chinese characters anew, as they are simplified now; whether there are any."""
    changed = False
    for table, column in (("passages", "text"), ("pictures", "caption")):
        rows = [number for (number,) in connection.execute(f"SELECT id FROM {table}")]
        for row in _told(rows):
            text, code = connection.execute(
                f"SELECT {table}.{column}, documents.language FROM {table} JOIN documents ON documents.id = document_id "
                f"WHERE {table}.id = ?",
                (row,),
            ).fetchone()
            if HAN.search(text):
                changed = True
                terms = (*analyzer.columns(text, code), row)
                connection.execute(f"UPDATE {table} SET terms = ?, parts = ? WHERE id = ?", terms)
    return changed


def _told(ids: list[int]) -> Iterator[int]:
    told = time.monotonic()
    for done, number in enumerate(ids):
        if time.monotonic() - told > TELL_EVERY:
            told = time.monotonic()
            log.warning("a store of an older release gets its word index: %s of %s parts", f"{done:,}", f"{len(ids):,}")
        yield number
