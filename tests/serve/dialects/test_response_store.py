"""Responses that are kept for a next turn."""

import pytest

from mmgen.errors import NotFound
from mmgen.serve.dialects import response_store
from mmgen.serve.dialects.response_store import ResponseStore


def test_each_has_their_own() -> None:
    store = ResponseStore()
    store.add("ann", {"id": "r1"}, [{"role": "user"}], [])
    assert store.get("ann", "r1").messages == [{"role": "user"}]
    for user, id in (("bob", "r1"), ("ann", "r2")):
        with pytest.raises(NotFound, match="there is no response"):
            store.get(user, id)
    store.delete("ann", "r1")
    with pytest.raises(NotFound):
        store.delete("ann", "r1")


def test_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_store, "MOST_BYTES", 1000)
    store = ResponseStore()
    for number in range(20):
        store.add("ann", {"id": f"r{number}", "text": "x" * 100}, [], [])
    assert store.get("ann", "r19")
    with pytest.raises(NotFound):
        store.get("ann", "r0")
    store.add("ann", {"id": "huge", "text": "x" * 2000}, [], [])
    with pytest.raises(NotFound):
        store.get("ann", "huge")
    assert store.get("ann", "r19")
