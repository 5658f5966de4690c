"""A server's errors in one line each: what is wrong, and what to do. By SQLSTATE (PostgreSQL's appendix A)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mmgen.errors import Busy, Closed, MmgenError, NoSpace, NotFound, StoreError, TooLarge, Unreachable

if TYPE_CHECKING:
    import psycopg

SAFE = "what was added before is safe"


@contextmanager
def translated_errors(store: str) -> Iterator[None]:
    """Raises psycopg's errors about a store as MmgenErrors."""
    import psycopg

    try:
        yield
    except psycopg.Error as why:
        raise translate(store, why) from None


def translate(store: str, error: psycopg.Error) -> MmgenError:
    """What to tell of an error of psycopg about a store."""
    code, told = error.sqlstate or "", _words(error)
    for start, make, text in TOLD:
        if code.startswith(start) and code:
            return make(text.format(store=store, told=told))
    if not code:
        return _without_code(store, told)
    return StoreError(f"store {store}: the server refuses ({told}, SQLSTATE {code}); see its log")


def _without_code(store: str, told: str) -> MmgenError:
    """What libpq and psycopg say themselves: refused connections have their reason in words alone."""
    if "password authentication failed" in told or "no password supplied" in told:
        return StoreError(_PASSWORD.format(store=store, told=told))
    if 'database "' in told and "does not exist" in told:
        return NotFound(_DATABASE.format(store=store, told=told))
    if 'role "' in told and "does not exist" in told:
        return StoreError(f"store {store}: there is no such user ({told}); write another one, or make it: createuser NAME")
    if "pg_hba.conf" in told:
        return StoreError(f"store {store}: the server lets nobody in from here ({told}); its pg_hba.conf says who may")
    if "NUL" in told:
        return StoreError(f"store {store}: a text holds a NUL, which PostgreSQL cannot keep; take it out")
    if "invalid connection option" in told or "invalid URI" in told or "invalid" in told.partition(":")[0]:
        return StoreError(f"{store} is no address that libpq understands ({told}); write postgres://user@host/database")
    if "too many clients" in told or "connection slots" in told:
        return Busy(f"store {store}: {told}; try again later, or raise the server's max_connections")
    if "the connection is closed" in told:
        return Closed(f"store {store} was closed; open it again")
    return Unreachable(_GONE.format(store=store, told=told))


def _words(error: psycopg.Error) -> str:
    """The server's words on one line."""
    text = error.diag.message_primary or str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(("LINE ", "DETAIL", "HINT"))]
    told = " ".join(lines[:1] if error.sqlstate else lines)[:300]
    return told.removeprefix("connection failed: ").removeprefix("connection is bad: ") or type(error).__name__


_PASSWORD = "store {store}: the server refuses the password ({told}); write it into ~/.pgpass, or PGPASSWORD"
_DATABASE = "store {store}: {told}; make it with: createdb NAME, or write another one"
_GONE = "store {store}: the server cannot be reached ({told}); is it running? " + SAFE

TOLD: tuple[tuple[str, type[MmgenError], str], ...] = (
    ("28", StoreError, _PASSWORD),
    ("3D000", NotFound, _DATABASE),
    ("53100", NoSpace, "store {store}: the server's disk is full ({told}); make room, " + SAFE),
    ("58030", NoSpace, "store {store}: the server cannot write to its disk ({told}); see its log, " + SAFE),
    ("53300", Busy, "store {store}: {told}; try again later, or raise the server's max_connections"),
    ("53", Busy, "store {store}: the server is short of something ({told}); try again later"),
    ("55P03", Busy, "store {store} is being written by another process; try again when it is done"),
    ("40", Busy, "store {store} is being written by another process ({told}); try again when it is done"),
    ("57014", Busy, "store {store}: the server ended this after its statement_timeout ({told}); ask for less, or raise that"),
    ("57", Unreachable, _GONE),
    ("08", Unreachable, _GONE),
    ("25006", StoreError, "store {store} cannot be written ({told}); this server is read-only, perhaps a standby"),
    ("42501", StoreError, "store {store}: the user may not do this ({told}); ask whoever runs the server"),
    ("54", TooLarge, "store {store}: a text or a name is longer than PostgreSQL can hold ({told}); shorten or split it"),
    ("22021", StoreError, "store {store}: a text cannot be kept ({told}); PostgreSQL stores no NUL"),
    ("22P05", StoreError, "store {store}: a text cannot be kept ({told}); PostgreSQL stores no NUL"),
    (
        "0A000",
        StoreError,
        "store {store}: the server cannot do this ({told}); it needs PostgreSQL 14 or later with pgvector 0.8",
    ),
)
"""The first whose beginning of a SQLSTATE fits."""
