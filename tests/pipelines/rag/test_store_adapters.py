"""A plugin's store or reader has no adapters; the rest is in tests/training/recipes/test_reader_adapter.py."""

from types import SimpleNamespace
from typing import Any

from mmgen.pipelines.rag.store_adapters import adapted


def test_without_adapters() -> None:
    reader: Any = SimpleNamespace(adaptable=True)
    store: Any = SimpleNamespace()
    assert adapted(reader, store) == (reader, {}, "")
    store.adapters = SimpleNamespace(get=lambda kind: None)
    assert adapted(reader, store) == (reader, {}, "") == adapted(reader, store, base=True)
    assert adapted(SimpleNamespace(), store)[1] == {}  # type: ignore[arg-type]
