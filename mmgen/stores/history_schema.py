"""Tables, retention limits and row types of the history. In a file triggers keep the word index; see `private.words`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mmgen.stores.private import words as private_words
from mmgen.stores.private.table_script import TableScript

SQLITE = """
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT, "user" TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, created REAL NOT NULL,
    asked TEXT NOT NULL, result TEXT NOT NULL, text TEXT NOT NULL, bytes INTEGER NOT NULL, UNIQUE ("user", id));
CREATE INDEX IF NOT EXISTS entries_of ON entries("user");
CREATE INDEX IF NOT EXISTS entries_by_age ON entries(created);
CREATE TABLE IF NOT EXISTS files (
    entry INTEGER NOT NULL REFERENCES entries(number) ON DELETE CASCADE, name TEXT NOT NULL, file TEXT NOT NULL,
    bytes INTEGER NOT NULL, PRIMARY KEY (entry, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS usage ("user" TEXT PRIMARY KEY, entries INTEGER NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID;
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(
    text, content='entries', content_rowid='number', tokenize='porter unicode61 remove_diacritics 2');
CREATE TRIGGER IF NOT EXISTS entry_added AFTER INSERT ON entries BEGIN
    INSERT INTO words(rowid, text) VALUES (new.number, new.text);
    INSERT INTO usage VALUES (new."user", 1, new.bytes)
        ON CONFLICT("user") DO UPDATE SET entries = entries + 1, bytes = bytes + new.bytes;
END;
CREATE TRIGGER IF NOT EXISTS entry_removed AFTER DELETE ON entries BEGIN
    INSERT INTO words(words, rowid, text) VALUES ('delete', old.number, old.text);
    UPDATE usage SET entries = entries - 1, bytes = bytes - old.bytes WHERE "user" = old."user";
    DELETE FROM usage WHERE "user" = old."user" AND entries = 0;
END;
"""
POSTGRES = """
CREATE TABLE entries (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "user" text NOT NULL, id text NOT NULL, kind text NOT NULL,
    created float8 NOT NULL, asked text NOT NULL, result text NOT NULL, text text NOT NULL, bytes bigint NOT NULL,
    UNIQUE ("user", id));
CREATE INDEX entries_by_age ON entries(created);
CREATE TABLE files (
    entry bigint NOT NULL REFERENCES entries ON DELETE CASCADE, name text NOT NULL, file text NOT NULL UNIQUE,
    bytes bigint NOT NULL, PRIMARY KEY (entry, name));
CREATE TABLE contents (file text PRIMARY KEY REFERENCES files(file) ON DELETE CASCADE, data bytea NOT NULL);
CREATE TABLE usage ("user" text PRIMARY KEY, entries bigint NOT NULL, bytes bigint NOT NULL);
CREATE FUNCTION used() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO usage VALUES (new."user", 1, new.bytes) ON CONFLICT ("user")
            DO UPDATE SET entries = usage.entries + 1, bytes = usage.bytes + new.bytes;
    ELSE
        UPDATE usage SET entries = entries - 1, bytes = bytes - old.bytes WHERE "user" = old."user";
        DELETE FROM usage WHERE "user" = old."user" AND entries = 0;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER used AFTER INSERT OR DELETE ON entries FOR EACH ROW EXECUTE FUNCTION used();
"""
TABLES = TableScript("history", SQLITE, POSTGRES + private_words.POSTGRES.format(table="entries"))


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


COLUMNS = "id, kind, created, asked, result, number"


def entry(row: Sequence[Any], files: Sequence[HistoryFile]) -> HistoryEntry:
    """An entry from a row of COLUMNS."""
    id, kind, created, asked, result, _ = row
    return HistoryEntry(id, kind, created, json.loads(asked), json.loads(result), files)
