"""Small private tables: in a file, or where several machines share them on a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from mmgen.stores.private_database import PrivateDatabase

Place = Path | str
"""A file, or an address such as postgres://user@host/database."""


class PrivateTables(Protocol):
    """Threads and processes share them; transactions take turns."""

    def all(self, sql: str, parameters: Sequence[Any] = ...) -> list[Any]: ...
    def one(self, sql: str, parameters: Sequence[Any] = ...) -> Any: ...  # the first row, or None
    def transaction(self) -> AbstractContextManager[Any]: ...  # of a connection with execute and executemany
    def close(self) -> None: ...


def opened(place: Place, script: str) -> PrivateTables:
    """The tables that are there, or made by a script of CREATE ... IF NOT EXISTS statements."""
    if isinstance(place, Path):
        return PrivateDatabase(place, script)
    from mmgen.stores.postgres.private import PostgresPrivateTables

    return PostgresPrivateTables(place, script)
