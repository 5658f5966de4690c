"""A thread-safe SQLite store: pooled connections, one writer at a time."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mmgen.errors import BadRequest, Busy, Closed, StoreError
from mmgen.interfaces import Scalar
from mmgen.stores import metadata_filter, migration, schema, sqlite
from mmgen.stores.metadata_filter import MetadataCondition
from mmgen.stores.relational.interface import Transaction

log = logging.getLogger(__name__)


class Database:
    """Any number of threads and processes read while one writes; every read sees whole transactions."""

    among = "IN (SELECT value FROM json_each(?))"

    def __init__(self, path: Path, readonly: bool, timeout: float) -> None:
        """`timeout`: seconds to wait for another process that writes; then Busy."""
        self.path, self.readonly, self.timeout, self.name = path, readonly, timeout, str(path.parent)
        self.closed = self.wrote = self._outdated = False
        self._idle: list[sqlite3.Connection] = []
        self._guard, self._writing = threading.Lock(), threading.Lock()

    @property
    def outdated(self) -> bool:
        """Whether the store is of a format without terms still; another process may have converted it meanwhile."""
        if self._outdated:
            with self._connection() as connection, schema.translated_errors(self.path):
                self._outdated = schema.version_of(connection) < schema.TERMS_SINCE
        return self._outdated

    def conditions(self, where: Mapping[str, Scalar] | Sequence[str | MetadataCondition]) -> list[MetadataCondition]:
        """Filters as conditions. Raises BadRequest as `metadata_filter.parse`, and for what an older format cannot tell."""
        found = metadata_filter.parse(where)
        if self.outdated and any(one.key == "language" for one in found):
            raise BadRequest(
                f"store {self.path.parent} is of an older release and tells no languages; make it writable, to convert it"
            )
        return found

    def within(self, conditions: Sequence[MetadataCondition], column: str, table: str) -> tuple[str, list[Scalar]]:
        """See `metadata_filter.within`."""
        return metadata_filter.within(conditions, column, table)

    def upgrade(self) -> None:
        """Brings a store of an older format to today's. Where it cannot be written now, it is read as it is (`outdated`)."""
        with self._connection() as connection, schema.translated_errors(self.path):
            version = schema.version_of(connection)
        self._outdated = version < schema.TERMS_SINCE
        if version == schema.VERSION:
            return
        try:
            with self._writing, schema.translated_errors(self.path), closing(self._writable()) as connection:
                migration.migrate(connection)
        except (Busy, StoreError) as why:
            log.warning("%s; until it can be converted, words are looked up as the release before did", why)

    def _writable(self) -> sqlite3.Connection:
        return schema.connect(self.path, readonly=False, timeout=self.timeout)

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Every row."""
        with self._connection() as connection, schema.translated_errors(self.path):
            return connection.execute(sql, parameters).fetchall()

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The first row, or None."""
        with self._connection() as connection, schema.translated_errors(self.path):
            return connection.execute(sql, parameters).fetchone()

    def insert(self, connection: Transaction, sql: str, parameters: Sequence[Any]) -> int:
        """Executes an INSERT of one row -> its id."""
        return int(connection.execute(sql, parameters).lastrowid)

    def vector(self, vector: np.ndarray) -> bytes:
        """(D,) float32 as a parameter."""
        return vector.tobytes()

    def has_table(self, name: str) -> bool:
        """Tables that not every store has are made with their first row."""
        return self.one("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)) is not None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside is stored durably when it ends, or nothing of it; counts as one commit."""
        if self.readonly:
            raise StoreError(f"store {self.path.parent} was opened for reading only; open it without readonly")
        with self._writing, self._connection() as connection, schema.translated_errors(self.path):
            migration.migrate(connection)
            with sqlite.transaction(connection):
                yield connection
                connection.execute("INSERT INTO commits(token) VALUES (random())")
            self.wrote = True

    def close(self) -> None:
        """Connections in use are closed when they are returned."""
        with self._guard:
            self.closed = True
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self._guard:
            if self.closed:
                raise Closed(f"store {self.path.parent} was closed; open it again")
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = schema.connect(self.path, self.readonly, self.timeout)
            connection.create_function("instant", 1, metadata_filter.instant, deterministic=True)
        try:
            yield connection
        finally:
            with self._guard:
                if self.closed:
                    connection.close()
                else:
                    self._idle.append(connection)
