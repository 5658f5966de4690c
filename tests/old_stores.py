"""Stores as older releases made them: the SQL of their formats, word for word."""

import sqlite3
from pathlib import Path

import numpy as np

TEXTS = """
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


def make(path: Path, version: int, texts: dict[str, str], dimension: int = 16) -> None:
    """A store of format 1 or 2 with one document and one passage a text, filled by "tiny"; of 2 with a caption besides."""
    path.mkdir(parents=True)
    connection = sqlite3.connect(path / "store.sqlite")
    connection.executescript(TEXTS + (IMAGES if version == 2 else ""))
    vector = np.full(dimension, dimension**-0.5, dtype=np.float32).tobytes()
    add = "INSERT INTO documents(uri, kind, content_hash, text, pages, metadata) VALUES (?, ?, 'h', ?, '[]', '{}')"
    for uri, text in texts.items():
        number = connection.execute(add, (uri, "text", text)).lastrowid
        row = (number, len(text), text, vector)
        connection.execute(
            "INSERT INTO passages(document_id, start, \"end\", heading, text, vector) VALUES (?, 0, ?, '', ?, ?)", row
        )
    if version == 2:
        number = connection.execute(add, ("/cup.png", "picture", "a blue cup")).lastrowid
        connection.execute(
            "INSERT INTO pictures(document_id, source, source_hash, dhash, width, height, caption, thumbnail, vector) "
            "VALUES (?, '/cup.png', 'h', 1, 1, 1, 'a blue cup', x'00', ?)",
            (number, np.full(8, 8**-0.5, dtype=np.float32).tobytes()),
        )
        connection.executemany("INSERT INTO meta VALUES (?, ?)", [("picture_encoder", "eyes"), ("picture_dimension", 8)])
    connection.execute("INSERT INTO commits(token) VALUES (random())")
    connection.executemany("INSERT INTO meta VALUES (?, ?)", [("encoder", "tiny"), ("dimension", dimension)])
    connection.execute("PRAGMA application_id=1835886446")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA user_version={version}")
    connection.commit()
    connection.close()
