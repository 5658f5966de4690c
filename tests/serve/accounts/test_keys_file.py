"""Keys from a file: as they stand there, from each start on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mmgen.errors import BadRequest, ConfigError, NotFound
from mmgen.serve.accounts.keys_file import apply
from mmgen.stores import keys as module
from mmgen.stores.keys import EVERYDAY, KeyStore
from mmgen.stores.quotas import QuotaStore

ANN, BOB = "mm-" + "a" * 43, "mm-" + "B-_0" * 10 + "xyz"


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[KeyStore, QuotaStore]]:
    monkeypatch.setattr(module, "COST", 2**4)
    with KeyStore(tmp_path / "keys.db") as keys, QuotaStore(tmp_path / "keys.db") as quotas:
        yield keys, quotas


def given(tmp_path: Path, text: str) -> Path:
    (tmp_path / "keys.yaml").write_text(text)
    return tmp_path / "keys.yaml"


def test_what_stands_there_holds(stores: tuple[KeyStore, QuotaStore], tmp_path: Path) -> None:
    keys, quotas = stores
    own = keys.create("own")
    first = f"keys:\n- {{name: ann, key: {ANN}, scopes: [admin], quota: 60}}\n- {{name: bob, key: {BOB}, rate: 5/s}}\n"
    assert apply(given(tmp_path, first), keys, quotas) == apply(given(tmp_path, first), keys, quotas) == 2
    ann, bob = keys.verify(ANN), keys.verify(BOB)
    assert ann and ann.scopes == {"admin"} and quotas.today("ann").quota_s == 60
    assert bob and bob.scopes == set(EVERYDAY) and str(bob.rate) == "5/s"
    apply(given(tmp_path, f"keys: [{{name: ann, key: {BOB}}}]"), keys, quotas)
    assert keys.verify(ANN) is None, "it has another now"
    moved = keys.verify(BOB)
    assert moved and moved.name == "ann" and quotas.today("ann").quota_s is None
    assert keys.verify(own), "made otherwise"
    apply(given(tmp_path, "keys: []"), keys, quotas)
    assert keys.verify(BOB) is None and keys.verify(own)


@pytest.mark.parametrize(("text", "told"), [
    ("keys: [{name: ann, key: secret-word}]", "another form; draw one"),
    (f"keys: [{{name: 'x y', key: {ANN}}}]", "name is"),
    (f"keys: [{{name: ann, key: {ANN}, scopes: [chatt]}}]", 'did you mean "chat"'),
    (f"keys: [{{name: ann, key: {ANN}, quota: 0}}]", "quota"),
    (f"keys: [{{name: ann, keys: {ANN}}}]", "key"),
])  # fmt: skip
def test_mistakes_name_no_secret(stores: tuple[KeyStore, QuotaStore], tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises((BadRequest, ConfigError), match=told) as caught:
        apply(given(tmp_path, text), *stores)
    assert "secret-word" not in str(caught.value) and ANN not in str(caught.value)
    with pytest.raises(NotFound):
        apply(tmp_path / "none.yaml", *stores)
