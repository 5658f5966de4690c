"""Small private tables: in a file, or where several machines share them on a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from mmgen.stores.private.table_script import TableScript

Place = Path | str
"""A file or folder, or an address such as postgres://user@host/database."""


class PrivateTables(Protocol):
    """Threads and processes share them; transactions take turns."""

    def all(self, sql: str, parameters: Sequence[Any] = ...) -> list[Any]: ...
    def one(self, sql: str, parameters: Sequence[Any] = ...) -> Any: ...  # the first row, or None
    def transaction(self) -> AbstractContextManager[Any]: ...  # of a connection with execute and executemany
    def now(self) -> float: ...  # seconds since 1970, the same for all that share them
    def searchable(self, text: str) -> str: ...  # what the column `text` of a table with words holds of a text
    def matching(self, words: Sequence[str], prefixes: bool = ...) -> tuple[str, list[str]]: ...  # a condition, its values
    def close(self) -> None: ...


def opened(place: Place, script: TableScript) -> PrivateTables:
    """The tables that are there, or made by the script."""
    if isinstance(place, Path):
        from mmgen.stores.private_database import PrivateDatabase

        return PrivateDatabase(place, script.sqlite)
    from mmgen.stores.postgres.private import PostgresPrivateTables

    return PostgresPrivateTables(place, script)
