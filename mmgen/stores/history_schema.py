"""Tables, retention limits and row types of the history."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

TABLES = """
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, created REAL NOT NULL,
    asked TEXT NOT NULL, result TEXT NOT NULL, text TEXT NOT NULL, bytes INTEGER NOT NULL, UNIQUE (user, id));
CREATE INDEX IF NOT EXISTS entries_of ON entries(user);
CREATE INDEX IF NOT EXISTS entries_by_age ON entries(created);
CREATE TABLE IF NOT EXISTS files (
    entry INTEGER NOT NULL REFERENCES entries(number) ON DELETE CASCADE, name TEXT NOT NULL, file TEXT NOT NULL,
    bytes INTEGER NOT NULL, PRIMARY KEY (entry, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS usage (user TEXT PRIMARY KEY, entries INTEGER NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID;
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(
    text, content='entries', content_rowid='number', tokenize='porter unicode61 remove_diacritics 2');
CREATE TRIGGER IF NOT EXISTS entry_added AFTER INSERT ON entries BEGIN
    INSERT INTO words(rowid, text) VALUES (new.number, new.text);
    INSERT INTO usage VALUES (new.user, 1, new.bytes)
        ON CONFLICT(user) DO UPDATE SET entries = entries + 1, bytes = bytes + new.bytes;
END;
CREATE TRIGGER IF NOT EXISTS entry_removed AFTER DELETE ON entries BEGIN
    INSERT INTO words(words, rowid, text) VALUES ('delete', old.number, old.text);
    UPDATE usage SET entries = entries - 1, bytes = bytes - old.bytes WHERE user = old.user;
    DELETE FROM usage WHERE user = old.user AND entries = 0;
END;
"""
COLUMNS = """id, kind, created, asked, result,
    (SELECT json_group_array(json_array(name, bytes)) FROM files WHERE entry = number)"""


@dataclass(frozen=True)
class RetentionPolicy:
    """Limits over all users together. Beyond them the oldest entries of the heaviest user are deleted first, so that one user
    cannot displace the others."""

    max_bytes: int = 2**30  # of texts and files
    max_age_days: float = 365.0
    max_entries: int = 100_000


@dataclass(frozen=True)
class HistoryFile:
    """A file of an entry, such as an image."""

    name: str
    bytes: int


@dataclass(frozen=True)
class HistoryEntry:
    """One request and its result."""

    id: str  # the request's
    kind: str  # the pipeline's name
    created: float  # seconds since 1970
    asked: Mapping[str, Any]
    result: Mapping[str, Any]
    files: Sequence[HistoryFile] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def entry(row: Sequence[Any]) -> HistoryEntry:
    """An entry from a row of COLUMNS."""
    id, kind, created, asked, result, files = row[:6]
    return HistoryEntry(
        id, kind, created, json.loads(asked), json.loads(result), [HistoryFile(*file) for file in json.loads(files)]
    )
