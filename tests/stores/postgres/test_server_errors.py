"""What goes wrong at a server is one line each: what it is, and what to do."""

import secrets
import subprocess
import sys
from pathlib import Path

import numpy as np
import psycopg
import pytest
from postgres_server import PostgresServer

from mmgen.errors import Busy, MmgenError, NoSpace, NotFound, StoreError, TooLarge, Unreachable
from mmgen.interfaces import Document, Passage
from mmgen.stores.postgres.documents import PostgresDocumentStore
from mmgen.stores.postgres.server_errors import translate


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (
            psycopg.errors.DiskFull("could not extend file"),
            NoSpace,
            r"disk is full .* make room, what was added before is safe",
        ),
        (psycopg.errors.IoError("could not write"), NoSpace, "cannot write to its disk"),
        (psycopg.errors.LockNotAvailable("canceling"), Busy, "is being written by another process"),
        (psycopg.errors.DeadlockDetected("deadlock"), Busy, "is being written by another process"),
        (psycopg.errors.QueryCanceled("canceling"), Busy, "statement_timeout"),
        (psycopg.errors.AdminShutdown("terminating connection"), Unreachable, "cannot be reached .* is it running"),
        (psycopg.errors.TooManyConnections("too many"), Busy, "max_connections"),
        (psycopg.errors.ReadOnlySqlTransaction("cannot execute"), StoreError, "perhaps a standby"),
        (psycopg.errors.InsufficientPrivilege("denied"), StoreError, "ask whoever runs the server"),
        (psycopg.errors.ProgramLimitExceeded("index row size"), TooLarge, "shorten or split it"),
        (psycopg.errors.InvalidPassword("password authentication failed"), StoreError, "refuses the password .* PGPASSWORD"),
        (psycopg.errors.UndefinedTable("no table"), StoreError, "SQLSTATE 42P01"),
        (psycopg.OperationalError('FATAL:  password authentication failed for user "me"'), StoreError, "refuses the password"),
        (psycopg.OperationalError("fe_sendauth: no password supplied"), StoreError, "refuses the password"),
        (psycopg.OperationalError("FATAL: no pg_hba.conf entry for host"), StoreError, "lets nobody in from here"),
        (psycopg.OperationalError("connection refused"), Unreachable, r"cannot be reached \(connection refused\)"),
        (psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), StoreError, "holds a NUL"),
    ],
)
def test_one_line_each(error: psycopg.Error, kind: type[MmgenError], text: str) -> None:
    told = translate("postgres://me@db/x", error)
    assert type(told) is kind and "\n" not in str(told) and "postgres://me@db/x" in str(told)
    with pytest.raises(kind, match=text):
        raise told


def opened(url: str, **options: object) -> PostgresDocumentStore:
    return PostgresDocumentStore(url, encoder="tiny", dimension=2, **options)  # type: ignore[arg-type]


def test_what_a_server_says_itself(postgres: PostgresServer, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r'database "none" does not exist.*createdb NAME'):
        opened(postgres.url(database="none"))
    with pytest.raises(StoreError, match=r'role "nobody_here" does not exist.*createuser NAME'):
        opened(postgres.url(user="nobody_here"))
    with pytest.raises(Unreachable, match=r"cannot be reached .*is it running\?"):
        opened(f"postgres://me@/x?host={tmp_path}")
    with pytest.raises(StoreError, match=r"is no address that libpq understands"):
        opened("postgres://me@db/x?colour=red")
    with pytest.raises(
        NotFound, match=r"there is no store at postgres://.*make one with: mmgen rag add PATH --store 'postgres"
    ):
        PostgresDocumentStore(postgres.url("none"))


def test_a_wrong_password(postgres: PostgresServer) -> None:
    rules = postgres.data / "pg_hba.conf"
    before = rules.read_text()
    postgres.execute("SET password_encryption = 'scram-sha-256'; CREATE ROLE locked LOGIN PASSWORD 'right'")
    try:
        rules.write_text("local all locked scram-sha-256\n" + before)
        postgres.execute("SELECT pg_reload_conf()")
        for user in ("locked:wr0ng", "locked"):
            with pytest.raises(StoreError, match=r"refuses the password .* ~/\.pgpass, or PGPASSWORD") as told:
                for _ in range(500):  # until the rules are read anew
                    opened(postgres.url("locked", user=user)).close()
            assert "wr0ng" not in str(told.value)
    finally:
        rules.write_text(before)
        postgres.execute("SELECT pg_reload_conf()")
        postgres.execute("DROP SCHEMA IF EXISTS locked CASCADE")


def test_a_user_who_may_only_read(postgres: PostgresServer) -> None:
    opened(postgres.url("shared")).close()
    postgres.execute("CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA shared TO reader")
    postgres.execute("GRANT SELECT ON ALL TABLES IN SCHEMA shared TO reader")
    try:
        with opened(postgres.url("shared", user="reader")) as store:
            assert store.count() == 0 and store.search("tea", method="bm25") == []
            with pytest.raises(StoreError, match=r"the user may not do this .*ask whoever runs the server"):
                store.remove("/a")
        with pytest.raises(StoreError, match=r"the user may not do this"):
            opened(postgres.url("another", user="reader"))
    finally:
        postgres.execute("DROP SCHEMA shared CASCADE; DROP ROLE reader")


def test_texts_that_cannot_be_kept(postgres: PostgresServer) -> None:
    with opened(postgres.url("odd")) as store:
        for document in (Document("/a", "a\0b", "text", "h"), Document("/a", "ab", "text", "h", metadata={"name": "a\0b"})):
            with pytest.raises(StoreError, match="NUL"):
                store.add(document, [Passage(document.text, 0, len(document.text))], np.ones((1, 2), np.float32))
        with pytest.raises(TooLarge, match="shorten or split it"):
            store.add(Document("/" + secrets.token_hex(9000), "ab", "text", "h"), [], np.ones((0, 2), np.float32))
        assert store.uris() == []
    postgres.execute("DROP SCHEMA odd CASCADE")


def test_nothing_is_asked_of_who_has_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmgen.stores.postgres.driver.find_spec", lambda name: None)
    with pytest.raises(NotFound, match=r"needs psycopg and pgvector, .*pip install 'mmgen\[postgres\]'"):
        opened("postgres://me@db/x")


def test_nothing_of_it_is_imported_without_being_asked_for() -> None:
    code = "import sys, mmgen.stores.documents, mmgen.plugins; mmgen.plugins.registry(); assert 'psycopg' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
