"""Files that clients uploaded, and batches of requests with their outcomes, each its user's own.

A line's outcome is written once: what a killed process left open is done anew, what it finished is not.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mmgen.errors import NotFound, TooLarge
from mmgen.stores.private.table_script import TableScript
from mmgen.stores.private.tables import Place, opened

MOST_BYTES = 2**30
"""Of a user's uploads."""
PAGE = 100
"""Outcomes that are read at once."""
KEPT_S = 30 * 86400.0
"""Seconds after which a file, or a batch that has ended, is forgotten."""
Status = Literal["in_progress", "cancelling", "cancelled", "completed", "expired"]

SCRIPT = """
CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY, "user" TEXT NOT NULL, name TEXT NOT NULL, purpose TEXT NOT NULL, created REAL NOT NULL,
    data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (
    id TEXT PRIMARY KEY, "user" TEXT NOT NULL, endpoint TEXT NOT NULL, input TEXT NOT NULL, metadata TEXT NOT NULL,
    status TEXT NOT NULL, created REAL NOT NULL, expires REAL NOT NULL, ended REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lines (
    batch TEXT NOT NULL REFERENCES batches ON DELETE CASCADE, number INTEGER NOT NULL, custom_id TEXT NOT NULL,
    body TEXT NOT NULL, outcome TEXT, failed INTEGER, PRIMARY KEY (batch, number)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS open_lines ON lines (batch, number) WHERE outcome IS NULL;
CREATE TABLE IF NOT EXISTS leases (
    batch TEXT PRIMARY KEY REFERENCES batches ON DELETE CASCADE, owner TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
"""
TABLES = TableScript("batches", SCRIPT)
LEASE_S = 120.0
"""Seconds for which a batch is its worker's, unless that renews it; then another machine goes on with it."""


@dataclass(frozen=True)
class StoredFile:
    """An upload, or the outcomes of a batch."""

    id: str
    name: str
    purpose: str
    created: float  # seconds since 1970, as are the others
    size: int  # bytes


@dataclass(frozen=True)
class StoredBatch:
    """A batch, and how far it is."""

    id: str
    user: str
    endpoint: str
    input: str  # the file's id
    metadata: Mapping[str, str]
    status: Status
    created: float
    expires: float
    ended: float | None
    total: int
    completed: int
    failed: int


@dataclass(frozen=True)
class BatchLine:
    """A request that waits for its outcome."""

    batch: str
    number: int
    custom_id: str
    body: Mapping[str, Any]


class BatchStore:
    """Thread-safe. What a method returned from is on the disk."""

    def __init__(self, place: Place, owner: str = "") -> None:
        """`place`: a file, or the address of a PostgreSQL server. `owner`: who answers the batches that it claims."""
        self._database, self.owner = opened(place, TABLES), owner

    def forget(self) -> None:
        """Files and ended batches that are older than KEPT_S."""
        with self._database.transaction() as connection:
            old = self.now() - KEPT_S
            connection.execute("DELETE FROM files WHERE created < ?", (old,))
            connection.execute("DELETE FROM batches WHERE ended < ?", (old,))

    def close(self) -> None:
        self._database.close()

    def now(self) -> float:
        """Seconds since 1970, the same for all that share it."""
        return self._database.now()

    def add_file(self, user: str, name: str, purpose: str, data: bytes) -> StoredFile:
        """Raises TooLarge where the user has too much already."""
        id, now = f"file-{secrets.token_hex(12)}", self.now()
        with self._database.transaction() as connection:
            (used,) = connection.execute(
                'SELECT coalesce(sum(length(data)), 0) FROM files WHERE "user" = ?', (user,)
            ).fetchone()
            if used + len(data) > MOST_BYTES:
                raise TooLarge(f"your files are more than {MOST_BYTES / 2**20:.0f} MiB; delete some")
            connection.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?)", (id, user, name, purpose, now, data))
        return StoredFile(id, name, purpose, now, len(data))

    def files(self, user: str) -> list[StoredFile]:
        """Newest first."""
        sql = 'SELECT id, name, purpose, created, length(data) FROM files WHERE "user" = ? ORDER BY created DESC, id'
        return [StoredFile(*row) for row in self._database.all(sql, (user,))]

    def file(self, user: str, id: str) -> StoredFile:
        """Raises NotFound, for another user's too."""
        sql = 'SELECT id, name, purpose, created, length(data) FROM files WHERE "user" = ? AND id = ?'
        return StoredFile(*_found(self._database.one(sql, (user, id)), "file", id))

    def data(self, user: str, id: str) -> bytes:
        """Raises NotFound."""
        row = self._database.one('SELECT data FROM files WHERE "user" = ? AND id = ?', (user, id))
        return bytes(_found(row, "file", id)[0])

    def delete_file(self, user: str, id: str) -> None:
        """Raises NotFound."""
        self.file(user, id)
        with self._database.transaction() as connection:
            connection.execute('DELETE FROM files WHERE "user" = ? AND id = ?', (user, id))

    def add(
        self,
        user: str,
        endpoint: str,
        input: str,
        lines: Sequence[tuple[str, Mapping[str, Any]]],
        metadata: Mapping[str, str],
        window_s: float,
    ) -> StoredBatch:
        """`lines`: custom ids and bodies; `window_s`: seconds after which what is open expires."""
        id, now = f"batch_{secrets.token_hex(12)}", self.now()
        rows = [(id, number, custom_id, json.dumps(body)) for number, (custom_id, body) in enumerate(lines)]
        with self._database.transaction() as connection:
            values = (id, user, endpoint, input, json.dumps(metadata), "in_progress", now, now + window_s, None)
            connection.execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
            connection.executemany("INSERT INTO lines VALUES (?, ?, ?, ?, NULL, NULL)", rows)
        return self.batch(user, id)

    def batch(self, user: str, id: str) -> StoredBatch:
        """Raises NotFound, for another user's too."""
        return self._batch(
            _found(self._database.one('SELECT * FROM batches WHERE "user" = ? AND id = ?', (user, id)), "batch", id)
        )

    def state(self, id: str) -> tuple[Status, float]:
        """The status, and when it expires. Cheap, unlike the counts of `batch`."""
        status, expires = _found(self._database.one("SELECT status, expires FROM batches WHERE id = ?", (id,)), "batch", id)
        return status, expires

    def batches(self, user: str) -> list[StoredBatch]:
        """Newest first."""
        rows = self._database.all('SELECT * FROM batches WHERE "user" = ? ORDER BY created DESC, id', (user,))
        return [self._batch(row) for row in rows]

    def under_way(self) -> list[StoredBatch]:
        """Everybody's that have not ended, the oldest first."""
        rows = self._database.all("SELECT * FROM batches WHERE ended IS NULL ORDER BY created, id")
        return [self._batch(row) for row in rows]

    def cancel(self, user: str, id: str) -> StoredBatch:
        """Nothing more of it is begun. Raises NotFound."""
        self.batch(user, id)
        with self._database.transaction() as connection:
            connection.execute("UPDATE batches SET status = 'cancelling' WHERE id = ? AND status = 'in_progress'", (id,))
        return self.batch(user, id)

    def claim(self, id: str) -> bool:
        """Whether the owner answers it for the next LEASE_S seconds; False where another one does."""
        now = self.now()
        with self._database.transaction() as connection:
            taken = connection.execute(
                "INSERT INTO leases VALUES (?, ?, ?) ON CONFLICT (batch) DO UPDATE SET owner = excluded.owner, "
                "until = excluded.until WHERE leases.owner = excluded.owner OR leases.until < ?",
                (id, self.owner, now + LEASE_S, now),
            )
            return bool(taken.rowcount == 1)

    def end(self, id: str, status: Status) -> None:
        with self._database.transaction() as connection:
            sql = "UPDATE batches SET status = ?, ended = ? WHERE id = ? AND ended IS NULL"
            connection.execute(sql, (status, self.now(), id))

    def open_lines(self, id: str, most: int) -> list[BatchLine]:
        """Lines without an outcome, in order."""
        sql = "SELECT batch, number, custom_id, body FROM lines WHERE batch = ? AND outcome IS NULL ORDER BY number LIMIT ?"
        rows = self._database.all(sql, (id, most))
        return [BatchLine(batch, number, custom_id, json.loads(body)) for batch, number, custom_id, body in rows]

    def finish(self, line: BatchLine, outcome: Mapping[str, Any], failed: bool) -> None:
        """The first outcome of a line stays."""
        with self._database.transaction() as connection:
            sql = "UPDATE lines SET outcome = ?, failed = ? WHERE batch = ? AND number = ? AND outcome IS NULL"
            connection.execute(sql, (json.dumps(outcome), int(failed), line.batch, line.number))

    def outcomes(self, id: str, failed: bool) -> Iterator[bytes]:
        """JSON lines in the order of the requests, some at a time."""
        sql = "SELECT number, outcome FROM lines WHERE batch = ? AND failed = ? AND number > ? ORDER BY number LIMIT ?"
        last = -1
        while rows := self._database.all(sql, (id, int(failed), last, PAGE)):
            last = rows[-1][0]
            yield "".join(f"{outcome}\n" for _, outcome in rows).encode()

    def outcome_size(self, id: str, failed: bool) -> int:
        """Bytes of all `outcomes`."""
        sql = "SELECT coalesce(sum(length(outcome) + 1), 0) FROM lines WHERE batch = ? AND failed = ?"
        (size,) = self._database.one(sql, (id, int(failed)))  # json.dumps wrote ASCII alone
        return int(size)

    def all_files(self) -> Iterator[tuple[str, StoredFile]]:
        """Everybody's, and whose they are."""
        for row in self._database.all(
            'SELECT "user", id, name, purpose, created, length(data) FROM files ORDER BY created, id'
        ):
            yield row[0], StoredFile(*row[1:])

    def all_batches(self) -> Iterator[StoredBatch]:
        """Everybody's, the oldest first."""
        yield from map(self._batch, self._database.all("SELECT * FROM batches ORDER BY created, id"))

    def claimed(self, id: str) -> bool:
        """Whether somebody answers it now."""
        return self._database.one("SELECT 1 FROM leases WHERE batch = ? AND until >= ?", (id, self.now())) is not None

    def holds_file(self, id: str) -> bool:
        """Whether anybody has it."""
        return self._database.one("SELECT 1 FROM files WHERE id = ?", (id,)) is not None

    def put_file(self, user: str, file: StoredFile, data: bytes) -> None:
        """One as another store holds it."""
        with self._database.transaction() as connection:
            row = (file.id, user, file.name, file.purpose, file.created, data)
            connection.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?)", row)

    def put(self, batch: StoredBatch, source: BatchStore) -> bool:
        """One as another store holds it, with its lines and what came of them; False: it is here already."""
        with self._database.transaction() as connection:
            row = (
                *(batch.id, batch.user, batch.endpoint, batch.input, json.dumps(batch.metadata), batch.status),
                *(batch.created, batch.expires, batch.ended),
            )
            sql = "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
            if connection.execute(sql, row).rowcount != 1:
                return False
            for rows in source._lines(batch.id):
                connection.executemany("INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?)", rows)
        return True

    def _lines(self, id: str) -> Iterator[list[Any]]:
        """Rows, some at a time."""
        sql, last = "SELECT * FROM lines WHERE batch = ? AND number > ? ORDER BY number LIMIT ?", -1
        while rows := self._database.all(sql, (id, last, PAGE)):
            last = rows[-1][1]
            yield rows

    def _batch(self, row: Sequence[Any]) -> StoredBatch:
        counted = (
            "SELECT count(*), count(*) FILTER (WHERE failed = 0), count(*) FILTER (WHERE failed = 1) FROM lines WHERE batch = ?"
        )
        total, completed, failed = self._database.one(counted, (row[0],))
        id, user, endpoint, input, metadata, status, created, expires, ended = row
        told = json.loads(metadata)
        return StoredBatch(id, user, endpoint, input, told, status, created, expires, ended, total, completed, failed)


def _found(row: Any, what: str, id: str) -> Any:
    if row is None:
        raise NotFound(f'there is no {what} "{id[:100]}" (any more)')
    return row
