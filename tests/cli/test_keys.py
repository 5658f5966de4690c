"""`mmgen keys`."""

import json
from pathlib import Path

import pytest
from cli_call import Call

from mmgen.stores import keys as module
from mmgen.stores.keys import KEY, KeyStore


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COST", 2**4)


def test_a_key_from_birth_to_end(call: Call, home: Path) -> None:
    assert "make one with" in call("keys", "list").out
    made = call("keys", "add", "ann", "--weight", 2, "--rate", "60/min", "--scopes", "chat, embeddings", "--stores", "a,b")
    key = made.out.strip()
    assert KEY.fullmatch(key) and made.out.count("\n") == 1 and "shown once" in made.err
    with KeyStore(home / "keys.db") as keys:
        found = keys.verify(key)
        assert found is not None and found.weight == 2 and found.scopes == {"chat", "embeddings"} and found.stores == {"a", "b"}
    rows = call("keys", "list").out.splitlines()
    assert rows[1].split() == [
        "ann",
        key[:11],
        "valid",
        "2",
        "60/min",
        "-",
        "0.0",
        "s",
        "a,b",
        "chat,embeddings",
    ] and key not in "".join(rows)
    new = call("keys", "rotate", "ann").out.strip()
    assert KEY.fullmatch(new) and new != key
    assert "revoked" in call("keys", "revoke", "ann").out
    (listed,) = json.loads(call("keys", "list", "--json").out)
    assert listed["revoked"] and listed["rate"] == "60/min" and listed["stores"] == ["a", "b"] and new[11:] not in str(listed)
    assert (home / "keys.db").stat().st_mode & 0o077 == 0


def test_all_and_days(call: Call) -> None:
    call("keys", "add", "bob", "--scopes", "all", "--days", 0)
    row = call("keys", "list").out.splitlines()[1].split()
    assert row[2:8] == ["expired", "1", "-", "-", "0.0", "s"] and "stores:write" in row[9] and "admin" not in row[9]


@pytest.mark.parametrize(("words", "message"), [
    (("add", "x y"), "name is"),
    (("add", "ann", "--rate", "fast"), "60/min"),
    (("add", "ann", "--scopes", "chatt"), 'did you mean "chat"'),
    (("add", "ann", "--stores", "../x"), "no bare name"),
    (("add", "ann", "--weight", "0"), "above 0"),
    (("revoke", "ann"), "no key"),
    (("change", "ann"), "no key"),
    (("change", "ann", "--quota", "much"), "such as 600, or none"),
    (("add", "ann", "--quota", "0"), "above 0"),
])  # fmt: skip
def test_mistakes_are_one_line(call: Call, words: tuple[str, ...], message: str) -> None:
    called = call("keys", *words)
    assert called.code == 2 and message in called.err and called.err.count("\n") == 1 and not called.out


def test_a_key_is_changed(call: Call) -> None:
    call("keys", "add", "ann", "--quota", 600, "--scopes", "all,admin", "--rate", "5/s")
    (made,) = json.loads(call("keys", "list", "--json").out)
    assert made["quota"] == 600 and "admin" in made["scopes"] and made["used_today"] == 0
    call("keys", "change", "ann", "--quota", 30, "--scopes", "chat", "--stores", "a", "--weight", 3)
    (changed,) = json.loads(call("keys", "list", "--json").out)
    to = {"quota": 30, "scopes": ["chat"], "stores": ["a"], "weight": 3}
    assert changed == made | to
    call("keys", "change", "ann", "--quota", "none", "--stores", "all", "--rate", "none")
    (free,) = json.loads(call("keys", "list", "--json").out)
    assert free == changed | {"quota": None, "stores": None, "rate": None}
