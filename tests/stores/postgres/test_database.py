"""Connections come back when the server does; a writer that is cut off has stored nothing; whoever waits is told."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from postgres_server import PostgresServer

from mmgen.errors import NoSpace, StoreError, Unreachable
from mmgen.interfaces import Document, Passage
from mmgen.stores.postgres.documents import PostgresDocumentStore
from mmgen.stores.postgres.pool import MOST_CONNECTIONS


def add(store: PostgresDocumentStore, uri: str) -> int:
    return store.add(Document(uri, "Tea.", "text", "h"), [Passage("Tea.", 0, 4)], np.ones((1, 2), np.float32))


def end_connections(postgres: PostgresServer) -> None:
    """As the server does when it restarts."""
    postgres.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'mmgen'")


def test_a_connection_that_was_lost_is_made_anew(postgres: PostgresServer) -> None:
    with PostgresDocumentStore(postgres.url("lost"), encoder="tiny", dimension=2) as store:
        add(store, "/a")
        end_connections(postgres)
        assert store.uris() == ["/a"]
        end_connections(postgres)
        add(store, "/b")
        with pytest.raises(Unreachable, match="cannot be reached"), store._database.transaction() as transaction:
            transaction.execute("DELETE FROM documents")
            end_connections(postgres)
            transaction.execute("DELETE FROM passages")
        with pytest.raises(Unreachable, match="whether the last"), store._database.transaction() as transaction:
            transaction.execute("DELETE FROM documents")
            end_connections(postgres)
        assert store.uris() == ["/a", "/b"]
        assert len(store._database._idle) <= MOST_CONNECTIONS
    postgres.execute("DROP SCHEMA lost CASCADE")


def test_a_server_that_is_killed_and_starts_again(postgres: PostgresServer) -> None:
    with PostgresDocumentStore(postgres.url("killed"), encoder="tiny", dimension=2) as store:
        for number in range(20):
            add(store, f"/{number}")
        postgres.kill()
        with pytest.raises(Unreachable, match=r"cannot be reached .*what was added before is safe"):
            store.uris()
        postgres.start()
        assert len(store.uris()) == 20
        add(store, "/after")
        assert store.search("tea", method="bm25", k=30)
    postgres.execute("DROP SCHEMA killed CASCADE")


def test_a_reader_writes_nothing(postgres: PostgresServer) -> None:
    PostgresDocumentStore(postgres.url("still"), encoder="tiny", dimension=2).close()
    with PostgresDocumentStore(postgres.url("still"), readonly=True) as store:
        with pytest.raises(StoreError, match="was opened for reading only"):
            store.remove("/a")
        with pytest.raises(StoreError, match="this server is read-only, perhaps a standby"):
            store._database.run("DELETE FROM documents")
    postgres.execute("DROP SCHEMA still CASCADE")


@pytest.fixture
def small_disk(postgres: PostgresServer, tmp_path: Path) -> Iterator[None]:
    """New tables lie on a file system of six megabytes."""
    folder = postgres.folder / "small"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder]).returncode:
        pytest.skip("mounting a small file system takes root")
    assert postgres.user is not None
    os.chown(folder, postgres.user.pw_uid, postgres.user.pw_gid)
    postgres.execute(f"CREATE TABLESPACE small LOCATION '{folder}'")
    postgres.execute("ALTER ROLE postgres SET default_tablespace = small")
    yield
    postgres.execute("ALTER ROLE postgres RESET default_tablespace")
    postgres.execute("DROP SCHEMA IF EXISTS full_disk CASCADE")
    postgres.execute("DROP TABLESPACE small")
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_loses_nothing(postgres: PostgresServer) -> None:
    text, stored = secrets.token_hex(30_000), list[str]()
    with PostgresDocumentStore(postgres.url("full_disk"), encoder="tiny", dimension=2) as store:
        with pytest.raises(NoSpace, match=r"the server's disk is full .*make room, what was added before is safe"):
            for number in range(500):
                store.add(Document(f"/{number}", text, "text", "h", language="en"), [], np.ones((0, 2), np.float32))
                stored.append(f"/{number}")
        assert len(stored) > 3 and sorted(store.uris()) == sorted(stored) and store.document(stored[-1]).text == text
        assert store.remove(stored[0])
