"""Small private tables on a PostgreSQL server, such as those of API keys: what PrivateDatabase is to a file."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mmgen.errors import BadRequest, StoreError
from mmgen.stores.postgres import driver
from mmgen.stores.postgres.address import SCHEMA, PostgresAddress, parsed
from mmgen.stores.postgres.pool import PostgresPool
from mmgen.stores.postgres.server_errors import translated_errors
from mmgen.stores.private import words as private_words
from mmgen.stores.private.table_script import TableScript

if TYPE_CHECKING:
    from mmgen.stores.postgres.driver import PostgresConnection

log = logging.getLogger(__name__)
TYPES = {r"\bBLOB\b": "bytea", r"\bREAL\b": "float8", r"\bINTEGER\b": "bigint", r" WITHOUT ROWID\b": ""}
"""SQLite's words in a script, and PostgreSQL's."""
FORMATS = "CREATE TABLE IF NOT EXISTS private_formats (name text PRIMARY KEY, format int NOT NULL)"
"""Of the tables of a schema, by the name of a script's first one."""
MOST_SKEW_S = 30.0
"""Seconds that a machine's clock may differ from the server's before it is told."""


class PostgresPrivateTables(PostgresPool):
    """Machines share them, and the server's clock. Statements are SQLite's, as far as PostgreSQL understands them."""

    def __init__(self, address: str, script: TableScript, timeout: float = 5.0) -> None:
        """`timeout`: seconds to wait for another writer; then Busy."""
        super().__init__(_within(parsed(address), script.part), readonly=False, timeout=timeout)
        with driver.connect(self.address) as connection, translated_errors(self.name):
            self._ahead_s = _ahead(connection)
            if abs(self._ahead_s) > MOST_SKEW_S:
                side = "ahead of" if self._ahead_s > 0 else "behind"
                log.warning(
                    "this machine's clock is %.0f s %s that of %s, whose times are used; set it by NTP",
                    abs(self._ahead_s), side, self.name,
                )  # fmt: skip
            with connection.transaction():
                self._take_turn(connection)  # two that make them at once would clash
                self._make(connection, script)

    def now(self) -> float:
        """Seconds since 1970 by the server's clock."""
        return time.time() - self._ahead_s

    def searchable(self, text: str) -> str:
        """See `private.words`."""
        return private_words.searchable(text)

    def matching(self, words: Sequence[str], prefixes: bool = False) -> tuple[str, list[str]]:
        """See `private.words`."""
        return private_words.matching(words, prefixes)

    def _make(self, connection: PostgresConnection, script: TableScript) -> None:
        """Brings older tables to today's format. Those of today's are left alone: whoever may only use them need not own them.

        Raises StoreError for tables of a newer format.
        """
        names = re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", script.postgres or script.sqlite)
        there = "SELECT bool_and(to_regclass(format('%%I.%%I', %s::text, name)) IS NOT NULL) FROM unnest(%s::text[]) AS name"
        today, found = 1 + len(script.upgrades), 0
        if (connection.execute(there, (self.schema, names)).fetchone() or (False,))[0]:
            found = self._format(connection, names[0])
        if found > today:
            raise StoreError(
                f"the tables of {names[0]} at {self.name} have format {found}, this mmgen reads up to {today}; upgrade mmgen"
            )
        if found == today:
            return
        if not found:
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{self.schema}"'.encode())
            connection.execute(_script(script).encode())
        for upgrade in script.upgrades[max(found, 1) - 1 :]:
            connection.execute(upgrade.encode())
        connection.execute(FORMATS)
        told = "INSERT INTO private_formats VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET format = excluded.format"
        connection.execute(told, (names[0], today))

    def _format(self, connection: PostgresConnection, name: str) -> int:
        """Of tables that are there; those that were made before formats were written down are of the first."""
        kept = connection.execute("SELECT to_regclass(format('%%I.private_formats', %s::text))", (self.schema,)).fetchone()
        if kept is None or kept[0] is None:
            return 1
        row = connection.execute("SELECT format FROM private_formats WHERE name = %s", (name,)).fetchone()
        return 1 if row is None else int(row[0])


def _script(script: TableScript) -> str:
    """The statements that make the tables of the first format."""
    if script.postgres is not None:
        return script.postgres
    made = script.sqlite
    for pattern, word in TYPES.items():
        made = re.sub(pattern, word, made)
    return made


def _within(address: PostgresAddress, part: str) -> PostgresAddress:
    """In a schema of its own beside the address's. Raises BadRequest where its name would be too long."""
    schema = f"{address.schema}_{part}" if part else address.schema
    if not SCHEMA.fullmatch(schema):
        raise BadRequest(
            f"schema {address.schema!r} has {len(address.schema)} letters, {schema!r} is too long; give a shorter one"
        )
    return replace(address, schema=schema)


def _ahead(connection: PostgresConnection) -> float:
    """Seconds by which this machine's clock is ahead of the server's, to within a round trip."""
    before = time.time()
    (there,) = connection.execute("SELECT CAST(extract(epoch FROM clock_timestamp()) AS float8)").fetchone() or (before,)
    return (before + time.time()) / 2 - float(there)
