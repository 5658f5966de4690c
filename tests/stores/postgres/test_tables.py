"""A store is made once, whoever else makes it; older ones go through the steps they lack, newer ones are told."""

import threading

import numpy as np
import pytest
from postgres_server import PostgresServer

from mmgen.errors import StoreError
from mmgen.interfaces import Document, Passage
from mmgen.stores.metadata_filter import instant
from mmgen.stores.postgres import tables
from mmgen.stores.postgres.documents import PostgresDocumentStore


def opened(url: str, **options: object) -> PostgresDocumentStore:
    return PostgresDocumentStore(url, encoder="tiny", dimension=2, **options)  # type: ignore[arg-type]


def test_many_make_one_store(postgres: PostgresServer) -> None:
    failures: list[BaseException] = []

    def make(number: int) -> None:
        try:
            with opened(postgres.url("made"), timeout=60) as store:
                store.add(Document(f"/{number}", "Tea.", "text", "h"), [Passage("Tea.", 0, 4)], np.ones((1, 2), np.float32))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with PostgresDocumentStore(postgres.url("made")) as store:
        assert not failures and store.uris() == ["/0", "/1", "/2", "/3"] and store.encoder == "tiny"
    postgres.execute("DROP SCHEMA made CASCADE")


def test_an_older_store_is_brought_to_todays_format(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    url, now = postgres.url("old"), len(tables.STEPS)
    with opened(url) as before:
        before.add(Document("/a", "Tea.", "text", "h"), [Passage("Tea.", 0, 4)], np.ones((1, 2), np.float32))
        monkeypatch.setattr(tables, "STEPS", (*tables.STEPS, "ALTER TABLE documents ADD COLUMN shelf int; SELECT 1 / 0;"))
        with pytest.raises(StoreError, match="division by zero"):
            PostgresDocumentStore(url)
        assert postgres.execute("SELECT value FROM old.meta WHERE key = 'format'") == [(str(now),)], "whole, or not at all"
        monkeypatch.setattr(tables, "STEPS", (*tables.STEPS[:now], "ALTER TABLE documents ADD COLUMN shelf int;"))
        with PostgresDocumentStore(url, readonly=True) as after:
            assert after.uris() == ["/a"] and after._database.one("SELECT shelf FROM documents") == (None,)
        monkeypatch.undo()
        with pytest.raises(
            StoreError, match=f"has format {now + 1} now: another mmgen has converted it; restart with that one"
        ):
            before.remove("/a")
    with pytest.raises(StoreError, match=f"has format {now + 1}, this mmgen reads up to {now}; upgrade mmgen"):
        opened(url)
    postgres.execute("DROP SCHEMA old CASCADE")


def test_another_programs_tables(postgres: PostgresServer) -> None:
    postgres.execute("CREATE SCHEMA other; CREATE TABLE other.meta (name text)")
    with pytest.raises(StoreError, match=r"schema other of postgres://.* holds other tables; give another: \?schema=NAME"):
        opened(postgres.url("other"))
    postgres.execute("DROP SCHEMA other CASCADE")


def test_instants_are_those_of_python(postgres: PostgresServer) -> None:
    written = [
        "2024-05-01", "2024-05-01T10:30", "2024-05-01 10:30:15", "2024-05-01T10:30:15.25Z", "2024-05-01T1030",
        "2024-05-01T10:30+02:00", "2024-05-01T10:30:00-0330", "2024-05-01T10:30-05", "2024-02-30", "2024-05-01T25:00",
        "2024-05-01T10:30 BC", "2024-05-01T10:30PST", "1/2/2024", "2024-13-01", "2024-05-01T10:30:15,5", "infinity",
        "9999-12-31", "0001-01-01", "soon", "",
    ]  # fmt: skip
    with opened(postgres.url("instants")) as store:
        found = [store._database.one("SELECT instant(?)", (text,))[0] for text in written]
    assert dict(zip(written, found, strict=True)) == {text: instant(text) for text in written}
    postgres.execute("DROP SCHEMA instants CASCADE")
