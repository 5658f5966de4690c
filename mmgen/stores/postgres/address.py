"""The address of a store on a PostgreSQL server: `postgres://user@host/database?schema=notes`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from mmgen.errors import BadRequest

SCHEMES = ("postgres", "postgresql")
SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
DEFAULT_SCHEMA = "mmgen"


@dataclass(frozen=True)
class PostgresAddress:
    """Where a store is."""

    conninfo: str = field(repr=False)  # as libpq reads it, with the password if there is one
    schema: str  # the store's tables are in it
    shown: str  # the address without a password

    def __str__(self) -> str:
        return self.shown


def parsed(url: str) -> PostgresAddress:
    """Of an address as libpq has them (postgresql.org/docs/current/libpq-connect.html), with `schema` besides: several stores
    of a database have a schema each. A password is better kept in ~/.pgpass or PGPASSWORD.

    Raises BadRequest for another scheme, or what is no schema.
    """
    parts = urlsplit(url.strip())
    if parts.scheme not in SCHEMES:
        raise BadRequest(f"{_shown(parts, {})} is no address of PostgreSQL; write postgres://user@host/database")
    told = dict(parse_qsl(parts.query, keep_blank_values=True))
    schema = told.pop("schema", DEFAULT_SCHEMA)
    if not SCHEMA.fullmatch(schema) or schema.startswith("pg_"):
        raise BadRequest(f"schema {schema!r} is no name for a store's; give small letters, digits and _, such as notes")
    conninfo = f"postgresql://{parts.netloc}{parts.path}" + (f"?{urlencode(told, quote_via=quote)}" if told else "")
    named = {} if schema == DEFAULT_SCHEMA else {"schema": schema}
    open_to_all = {key: value for key, value in told.items() if "password" not in key.lower()}
    return PostgresAddress(conninfo, schema, _shown(parts, open_to_all | named))


def _shown(parts: SplitResult, query: dict[str, str]) -> str:
    user, at, hosts = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{user.partition(':')[0]}{at}{hosts}{parts.path}" + (
        f"?{urlencode(query, safe='/')}" if query else ""
    )
