"""Keys that several machines share: the command line and another process see the same."""

from pathlib import Path

import pytest
from cli_call import Call
from postgres_server import PostgresServer

from mmgen.errors import Busy, Clash
from mmgen.stores.keys import KeyStore
from mmgen.stores.postgres.private import PostgresPrivateTables

SCRIPT = "CREATE TABLE IF NOT EXISTS things (name TEXT PRIMARY KEY, size REAL, data BLOB, day INTEGER) WITHOUT ROWID;"


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
