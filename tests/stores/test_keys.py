"""Keys: made, proved, revoked; and what somebody who steals the file, or guesses, learns."""

import hmac
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmgen.errors import BadRequest, Clash, NotFound
from mmgen.stores import keys as module
from mmgen.stores.keys import EVERYDAY, KEY, KeyStore, RateSpec


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COST", 2**4)


@pytest.fixture
def keys(tables_at: Path | str) -> Iterator[KeyStore]:
    """In a file, then on a server."""
    with KeyStore(tables_at) as keys:
        yield keys


def test_a_key_is_known_again(keys: KeyStore) -> None:
    assert not keys.any()
    key = keys.create("ann", 2.0, "60/min", ("chat", "stores"), ("notes",))
    assert keys.any() and KEY.fullmatch(key) and len(key) == 46
    assert keys.recall(key) is None, "it has to be proved first"
    found = keys.verify(key)
    assert found is not None and found == keys.recall(key) == keys.all()[0]
    assert (found.name, found.weight, found.rate, found.stores) == ("ann", 2.0, RateSpec(60, "min"), frozenset({"notes"}))
    assert found.scopes == {"chat", "stores"} and found.to_dict()["scopes"] == ["chat", "stores"]
    other = keys.verify(keys.create("bob"))
    assert other is not None and other.name == "bob" and other.stores is None and other.scopes == frozenset(EVERYDAY)


@pytest.mark.parametrize("spoil", [
    lambda key: key[:-1] + ("A" if key[-1] != "A" else "B"),
    lambda key: key[:11],
    lambda key: key + "A",
    lambda key: key.upper(),
    lambda key: "mm-" + "A" * 43,
    lambda key: "",
    lambda key: "mm-' OR 1=1 --",
    lambda key: key + "\n",
    lambda key: "\ud800" + key,
])  # fmt: skip
def test_guesses(keys: KeyStore, spoil: Any) -> None:
    key = keys.create("ann")
    keys.verify(key)
    assert keys.verify(spoil(key)) is None and keys.recall(spoil(key)) is None


def test_the_file_proves_and_does_not_tell(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path / "keys.db")
    key = keys.create("ann")
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    match = KEY.fullmatch(key)
    assert match and match[1].encode() in stored and match[2].encode() not in stored
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}
    assert key not in str(keys.all()) and match[2] not in str(keys.all())
    keys.close()


def test_every_guess_costs_one_scrypt_and_a_constant_time_comparison(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    key, calls = keys.create("ann"), []
    scrypt, compare = module._scrypt, hmac.compare_digest
    monkeypatch.setattr(module, "_scrypt", lambda *given: calls.append("scrypt") or scrypt(*given))
    monkeypatch.setattr(module.hmac, "compare_digest", lambda *given: calls.append("compare") or compare(*given))
    keys.revoke("ann")
    for guess in (key, key[:-1] + "_", "mm-" + "A" * 43, "x"):
        calls.clear()
        assert keys.verify(guess) is None and calls == ["scrypt", "compare"], guess


def test_what_another_process_revokes_ends_at_once(keys: KeyStore, tables_at: Path | str) -> None:
    key = keys.create("ann")
    assert keys.verify(key) and keys.recall(key)
    with KeyStore(tables_at) as other:
        other.revoke("ann")
        assert keys.recall(key) is None and keys.verify(key) is None
        assert keys.any(), "revoking the last key opens the door to nobody"
        new = other.rotate("ann")
    assert keys.recall(key) is None and keys.verify(key) is None
    found = keys.verify(new)
    assert found is not None and found.name == "ann" and keys.recall(new) and new != key


def test_keys_expire(tmp_path: Path) -> None:
    now = 1000.0
    with KeyStore(tmp_path / "keys.db", clock=lambda: now) as keys:
        key = keys.create("ann", expires=1060.0)
        assert keys.verify(key) and keys.recall(key)
        now = 1060.0
        assert keys.verify(key) is None and keys.recall(key) is None


def test_a_proof_is_remembered_for_minutes(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    key = keys.create("ann")
    keys.verify(key)
    later = time.monotonic() + module.REMEMBERED_S + 1
    monkeypatch.setattr(module.time, "monotonic", lambda: later)
    assert keys.recall(key) is None and keys.verify(key) and keys.recall(key)
    assert len(keys._proved) == 1 and key.encode() not in b"".join(keys._proved)


@pytest.mark.parametrize(("values", "message"), [
    ({"name": "local"}, "name is"),
    ({"name": "../x"}, "name is"),
    ({"name": ""}, "name is"),
    ({"weight": 0.0}, "weight is 0.0"),
    ({"weight": float("nan")}, "weight is nan"),
    ({"rate": "60"}, "such as 5/s"),
    ({"rate": "0/s"}, "such as 5/s"),
    ({"scopes": ("caht",)}, 'did you mean "chat"'),
    ({"scopes": ()}, "for nothing"),
    ({"stores": ("../../etc",)}, "no bare name"),
    ({"stores": ("a b",)}, "no bare name"),
])  # fmt: skip
def test_mistakes(keys: KeyStore, values: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        keys.create(**{"name": "ann", **values})
    assert not keys.any()


def test_names(keys: KeyStore) -> None:
    keys.create("ann")
    with pytest.raises(Clash, match="mmgen keys rotate ann"):
        keys.create("ann")
    keys.revoke("ann")
    with pytest.raises(Clash):  # nobody inherits a history
        keys.create("ann")
    with pytest.raises(NotFound, match='did you mean "ann"'):
        keys.revoke("anna")
    with pytest.raises(NotFound):
        keys.rotate("bob")


def test_rates() -> None:
    assert [RateSpec.parse(text).seconds for text in ("5/s", "60/min", "7/h", "1000/day")] == [1, 60, 3600, 86400]
    assert str(RateSpec.parse(" 60/min ")) == "60/min"
