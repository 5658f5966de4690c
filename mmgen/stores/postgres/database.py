"""A store's database on a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmgen.errors import StoreError
from mmgen.interfaces import Scalar
from mmgen.stores import metadata_filter
from mmgen.stores.metadata_filter import MetadataCondition
from mmgen.stores.postgres import driver, tables
from mmgen.stores.postgres.filters import condition_sql
from mmgen.stores.postgres.pool import PostgresPool

if TYPE_CHECKING:
    from mmgen.stores.postgres.driver import PostgresConnection


class PostgresDatabase(PostgresPool):
    """Any number of threads, processes and machines read while one writes; every read sees whole transactions."""

    among = "IN (SELECT CAST(value AS bigint) FROM json_array_elements_text(CAST(? AS json)))"
    outdated = False  # an older store is brought to today's format, or not opened

    def open(self) -> None:
        """Brings an older store to today's format. Raises NotFound without a store, StoreError for a newer one."""
        with self._lent() as (connection, _):
            if tables.check_format(connection, self.address):
                return
        writable = driver.connect(self.address)
        try:
            tables.migrate(writable, self.address)
        finally:
            writable.close()

    def conditions(self, where: Mapping[str, Scalar] | Sequence[str | MetadataCondition]) -> list[MetadataCondition]:
        """Filters as conditions. Raises BadRequest as `metadata_filter.parse`."""
        return metadata_filter.parse(where)

    def within(self, conditions: Sequence[MetadataCondition], column: str, table: str) -> tuple[str, list[Scalar]]:
        """See `metadata_filter.within`."""
        return metadata_filter.within(conditions, column, table, condition_sql)

    def vector(self, vector: np.ndarray) -> Any:
        """(D,) float32 as a parameter."""
        from pgvector import Vector

        return Vector(np.ascontiguousarray(vector, np.float32))

    def has_table(self, name: str) -> bool:
        """All are made with the store."""
        return True

    def insert(self, connection: Any, sql: str, parameters: Sequence[Any]) -> int:
        """Executes an INSERT of one row -> its id."""
        return int(connection.execute(f"{sql} RETURNING id", parameters).fetchone()[0])

    def _take_turn(self, connection: PostgresConnection) -> None:
        """Counts the commit, whose row the others wait for."""
        connection.execute("UPDATE meta SET value = CAST(CAST(value AS bigint) + 1 AS text) WHERE key = 'commits'")
        found = tables.format_of(connection, self.address)
        if found != len(tables.STEPS):
            raise StoreError(f"store {self.name} has format {found} now: another mmgen has converted it; restart with that one")
