"""Keys that several machines share: the command line and another process see the same."""

import logging
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cli_call import Call
from postgres_server import PostgresServer

from mmgen.errors import BadRequest, Busy, Clash, StoreError
from mmgen.stores.conversations import Conversations
from mmgen.stores.history import History
from mmgen.stores.keys import KeyStore
from mmgen.stores.postgres.private import PostgresPrivateTables
from mmgen.stores.private.table_script import TableScript

SCRIPT = TableScript(
    "", "CREATE TABLE IF NOT EXISTS things (name TEXT PRIMARY KEY, size REAL, data BLOB, day INTEGER) WITHOUT ROWID;"
)


def test_tables_are_made_once_and_writers_take_turns(postgres: PostgresServer) -> None:
    url = postgres.url("things")
    one, two = PostgresPrivateTables(url, SCRIPT), PostgresPrivateTables(url, SCRIPT, timeout=0.1)
    with one.transaction() as connection:
        connection.execute("INSERT INTO things VALUES (?, ?, ?, ?)", ("100%?", 1.5, b"\0a", 2**40))
        assert two.all("SELECT * FROM things") == []
        with pytest.raises(Busy), two.transaction():
            pass
    assert two.one("SELECT * FROM things WHERE name = ?", ("100%?",)) == ("100%?", 1.5, b"\0a", 2**40)
    with pytest.raises(ZeroDivisionError), one.transaction() as connection:
        connection.execute("DELETE FROM things")
        raise ZeroDivisionError
    assert len(two.all("SELECT name FROM things")) == 1
    one.close()
    two.close()
    postgres.execute("DROP SCHEMA things CASCADE")


def test_older_tables_are_upgraded_and_newer_ones_refused(postgres: PostgresServer) -> None:
    url = postgres.url("aged")
    with closing(PostgresPrivateTables(url, SCRIPT)) as old, old.transaction() as connection:
        connection.execute("INSERT INTO things (name) VALUES (?)", ("lamp",))
        connection.execute("DROP TABLE private_formats")  # as they were made before formats were written down
    steps = ("ALTER TABLE things ADD colour text NOT NULL DEFAULT 'red'", "ALTER TABLE things RENAME size TO weight")
    for known in (1, 2, 2):  # the second of two is done alone, and once
        with closing(PostgresPrivateTables(url, replace(SCRIPT, upgrades=steps[:known]))) as new:
            assert new.all("SELECT name, colour FROM things") == [("lamp", "red")]
    with pytest.raises(StoreError, match=r"the tables of things at .* have format 3, this mmgen reads up to 2; upgrade mmgen"):
        PostgresPrivateTables(url, replace(SCRIPT, upgrades=steps[:1]))
    postgres.execute("DROP SCHEMA aged CASCADE")
    with closing(PostgresPrivateTables(url, replace(SCRIPT, upgrades=steps))) as fresh:
        assert fresh.all("SELECT weight, colour FROM things") == [] and fresh.one("SELECT format FROM private_formats") == (3,)
    postgres.execute("DROP SCHEMA aged CASCADE")


def test_keys_of_several_machines(
    call: Call, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes = [tmp_path / "one", tmp_path / "two"]
    for home in homes:
        home.mkdir()
        (home / "config.yaml").write_text(f"accounts: {postgres.url('accounts')}\n")
    monkeypatch.setenv("MMGEN_HOME", str(homes[0]))
    assert call("keys", "add", "ann").code == 0
    monkeypatch.setenv("MMGEN_HOME", str(homes[1]))
    assert "ann" in call("keys", "list").out and call("keys", "add", "ann").code == 2
    assert call("keys", "revoke", "ann").code == 0 and not any((home / "keys.db").exists() for home in homes)
    with KeyStore(postgres.url("accounts")) as keys:
        assert keys.all()[0].state(keys.all()[0].created) == "revoked"
        with pytest.raises(Clash):
            keys.create("ann")
    postgres.execute("DROP SCHEMA accounts CASCADE")


def test_a_clock_that_is_wrong_is_told_and_not_used(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right = time.time
    url = postgres.url("clocks")
    with History(url) as history:
        history.add("ann", "r1", "chat", {"prompt": "tea"}, {})
        monkeypatch.setattr(time, "time", lambda: right() + 400 * 86400)  # a year later all would be too old
        with caplog.at_level(logging.WARNING), History(url) as other:
            other.add("ann", "r2", "chat", {}, {})
            assert [entry.id for entry in other.entries("ann")] == ["r2", "r1"]
            assert abs(other.get("ann", "r2").created - right()) < 60
    (told,) = caplog.messages
    assert "34560000 s ahead of that of" in told and "NTP" in told
    postgres.execute("DROP SCHEMA clocks_history CASCADE")


def test_history_and_conversations_of_several_machines(
    call: Call, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.url("shared")
    (tmp_path / "config.yaml").write_text(f"history: {url}\n")
    monkeypatch.setenv("MMGEN_HOME", str(tmp_path))
    with History(url) as history:
        history.add("local", "r1", "txt2img", {"prompt": "two\0 red Lighthouses"}, {}, {"0.png": b"\0png"})
    found = call("history", "search", "lighthouse", "--json")
    assert found.code == 0 and '"r1"' in found.out and not (tmp_path / "history").exists()
    one, two = Conversations(url), Conversations(url)
    made = one.make("ann")
    one.add("ann", made.id, {"role": "user", "content": "Où est l'été\0?"})
    assert [each.id for each in two.found("ann", "ete")] == [made.id] and not two.found("bob", "ete")
    one.close()
    two.close()
    with pytest.raises(BadRequest, match="shorter"):
        History(postgres.url("s" * 60))
    for part in ("history", "conversations"):
        postgres.execute(f"DROP SCHEMA shared_{part} CASCADE")
