"""Connections by psycopg, with the store's schema and pgvector's types."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mmgen.errors import NotFound, StoreError
from mmgen.stores.postgres.address import PostgresAddress
from mmgen.stores.postgres.server_errors import translated_errors

if TYPE_CHECKING:
    import psycopg

    PostgresConnection = psycopg.Connection[Any]

WITHIN_S = 10
"""Seconds for a connection to be made."""
SILENT_MS = 30_000
"""Milliseconds after which a server that answers nothing counts as gone."""
SETTINGS = {
    "jit": "off",  # compiling a query of milliseconds takes longer than it
    "hnsw.ef_search": "200",
    "hnsw.iterative_scan": "strict_order",  # goes on until there are as many as were asked for
}
VECTOR_SCHEMA = "SELECT nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'"


def connect(address: PostgresAddress, readonly: bool = False) -> PostgresConnection:
    """A connection in autocommit mode. Raises NotFound without psycopg, and what `server_errors.translate` tells."""
    if any(find_spec(name) is None for name in ("psycopg", "pgvector")):
        raise NotFound(f"store {address} needs psycopg and pgvector, which are not installed; pip install 'mmgen[postgres]'")
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    with translated_errors(address.shown):
        options: dict[str, Any] = {
            "connect_timeout": WITHIN_S,
            "tcp_user_timeout": SILENT_MS,
            "fallback_application_name": "mmgen",
            **conninfo_to_dict(address.conninfo),
        }
        connection = psycopg.connect(**options, autocommit=True)
        try:
            _prepare(connection, address, readonly)
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare(connection: PostgresConnection, address: PostgresAddress, readonly: bool) -> None:
    from pgvector.psycopg.vector import register_vector_info
    from psycopg.types import TypeInfo

    (encoding,) = connection.execute("SHOW server_encoding").fetchone() or ("",)
    if encoding != "UTF8":
        raise StoreError(
            f"store {address}: the database is in {encoding}, a store needs UTF8: createdb -E UTF8 -T template0 NAME"
        )
    there = connection.execute(VECTOR_SCHEMA).fetchone()
    path = f'"{address.schema}"' + (f', "{there[0]}"' if there else "")
    settings = {**SETTINGS, "search_path": path, "default_transaction_read_only": "on" if readonly else "off"}
    calls = ", ".join(["set_config(%s, %s, false)"] * len(settings))
    connection.execute(f"SELECT {calls}", [word for pair in settings.items() for word in pair])
    if there:
        register_vector_info(connection, TypeInfo.fetch(connection, "vector"))
