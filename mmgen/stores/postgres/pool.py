"""Connections to a schema on a PostgreSQL server: pooled, one writer at a time, and a server that may come back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from mmgen.errors import Closed, StoreError, Unreachable
from mmgen.stores.postgres import driver
from mmgen.stores.postgres.address import PostgresAddress
from mmgen.stores.postgres.server_errors import translate, translated_errors

if TYPE_CHECKING:
    from mmgen.stores.postgres.driver import PostgresConnection

MOST_CONNECTIONS = 10
"""Of a process to a store; threads beyond wait for one."""
Result = TypeVar("Result")


class PostgresTransaction:
    """The connection of an open transaction, for statements with `?`."""

    def __init__(self, connection: PostgresConnection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        return self._connection.execute(placeholders(sql), parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        cursor = self._connection.cursor()
        cursor.executemany(placeholders(sql), parameters)
        return cursor


class PostgresPool:
    """Threads share it. Reads see whole transactions; transactions of all processes and machines take turns."""

    def __init__(self, address: PostgresAddress, readonly: bool, timeout: float) -> None:
        """Nothing is connected yet. `timeout`: seconds to wait for another writer; then Busy."""
        self.address, self.readonly, self.timeout = address, readonly, timeout
        self.name, self.schema = address.shown, address.schema
        self.closed = self.wrote = False
        self._idle: list[PostgresConnection] = []
        self._guard, self._writing = threading.Lock(), threading.Lock()
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)

    def all(self, sql: str, parameters: Sequence[Any] = (), binary: bool = False) -> list[Any]:
        """Every row. `binary`: values come as bytes, which is faster for vectors."""
        return self._retried(lambda connection: connection.execute(placeholders(sql), parameters, binary=binary).fetchall())

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The first row, or None."""
        return self._retried(lambda connection: connection.execute(placeholders(sql), parameters).fetchone())

    def run(self, sql: str) -> None:
        """A statement that can be in no transaction."""
        with self._writing, self._lent() as (connection, _), translated_errors(self.name):
            connection.execute(placeholders(sql))

    @contextmanager
    def transaction(self) -> Iterator[PostgresTransaction]:
        """Everything inside is stored durably when it ends, or nothing of it; counts as one commit. Other writers wait."""
        if self.readonly:
            raise StoreError(f"store {self.name} was opened for reading only; open it without readonly")
        with self._writing, self._begun() as connection:
            try:
                with translated_errors(self.name):
                    yield PostgresTransaction(connection)
            except BaseException:
                if not connection.closed:
                    connection.rollback()
                raise
            self._commit(connection)
            self.wrote = True

    def close(self) -> None:
        """Connections in use are closed when they are returned."""
        with self._guard:
            self.closed = True
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    @contextmanager
    def _begun(self) -> Iterator[PostgresConnection]:
        """A connection with an open transaction that holds the turn to write."""
        while True:
            with self._lent() as (connection, fresh):
                try:
                    with translated_errors(self.name):
                        self._begin(connection)
                except BaseException:
                    gone = connection.closed
                    if not gone:
                        connection.rollback()
                    if fresh or not gone:
                        raise
                    continue  # it was left over from before the server went away
                yield connection
                return

    def _begin(self, connection: PostgresConnection) -> None:
        connection.execute("BEGIN")
        connection.execute("SELECT set_config('lock_timeout', %s, true)", (f"{max(1, round(self.timeout * 1000))}ms",))
        durable = "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
        connection.execute(durable)
        self._take_turn(connection)

    def _take_turn(self, connection: PostgresConnection) -> None:
        """Waits in the transaction that was begun until no other one writes."""
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (self.schema,))

    def _commit(self, connection: PostgresConnection) -> None:
        import psycopg

        try:
            connection.execute("COMMIT")
        except psycopg.OperationalError as why:
            if not connection.closed:
                raise translate(self.name, why) from None
            raise Unreachable(
                f"store {self.name}: the server went away while it stored; whether the last documents are there is not known, "
                "add them again (what is there is left alone)"
            ) from None
        except psycopg.Error as why:
            raise translate(self.name, why) from None

    def _retried(self, ask: Callable[[PostgresConnection], Result]) -> Result:
        """Reads, with another connection where one was left over from before the server went away."""
        import psycopg

        while True:
            with self._lent() as (connection, fresh):
                try:
                    return ask(connection)
                except psycopg.Error as why:
                    if fresh or not connection.closed:
                        raise translate(self.name, why) from None

    @contextmanager
    def _lent(self) -> Iterator[tuple[PostgresConnection, bool]]:
        """A connection, and whether it was made for this."""
        with self._places:
            with self._guard:
                if self.closed:
                    raise Closed(f"store {self.name} was closed; open it again")
                connection = self._idle.pop() if self._idle else None
            fresh = connection is None
            connection = connection or driver.connect(self.address, self.readonly)
            try:
                yield connection, fresh
            finally:
                with self._guard:
                    if self.closed:
                        connection.close()
                    elif not connection.closed:
                        self._idle.append(connection)


@lru_cache(maxsize=512)
def placeholders(sql: str) -> Any:
    """`?` as psycopg writes it. Texts with a question mark are parameters, never part of a statement."""
    return sql.replace("%", "%%").replace("?", "%s").encode()
