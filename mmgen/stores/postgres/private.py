"""Small private tables on a PostgreSQL server, such as those of API keys: what PrivateDatabase is to a file."""

from __future__ import annotations

import re

from mmgen.stores.postgres import driver
from mmgen.stores.postgres.address import parsed
from mmgen.stores.postgres.pool import PostgresPool
from mmgen.stores.postgres.server_errors import translated_errors

TYPES = {r"\bBLOB\b": "bytea", r"\bREAL\b": "float8", r"\bINTEGER\b": "bigint", r" WITHOUT ROWID\b": ""}
"""SQLite's words in a script, and PostgreSQL's."""


class PostgresPrivateTables(PostgresPool):
    """Machines share them. Statements are SQLite's, as far as PostgreSQL understands them."""

    def __init__(self, address: str, script: str, timeout: float = 5.0) -> None:
        """`script`: CREATE ... IF NOT EXISTS statements, as PrivateDatabase has them. `timeout`: as there."""
        super().__init__(parsed(address), readonly=False, timeout=timeout)
        for pattern, word in TYPES.items():
            script = re.sub(pattern, word, script)
        with driver.connect(self.address) as connection, translated_errors(self.name), connection.transaction():
            self._take_turn(connection)  # two that make them at once would clash
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{self.schema}"'.encode())
            connection.execute(script.encode())
