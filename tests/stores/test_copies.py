"""Names come and go; a document goes with its last one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmgen.interfaces import Document, Passage
from mmgen.stores.relational.documents import RelationalDocumentStore


@pytest.fixture
def store(store_at: Callable[..., Any]) -> Iterator[RelationalDocumentStore]:
    with store_at(encoder="test", dimension=2) as store:
        put(store, "a.txt", "The drill is every May.")
        store.copies.add_many([("b.txt", "a.txt"), ("c.txt", "a.txt")])
        yield store


def put(store: RelationalDocumentStore, uri: str, text: str) -> None:
    passage = Passage(text, 0, len(text))
    store.add(Document(uri, text, "text", f"hash of {text}"), [passage], np.array([[1, 0]], np.float32))


def test_every_name_is_one_of_the_document(store: RelationalDocumentStore) -> None:
    assert store.uris() == ["a.txt", "b.txt", "c.txt"] and store.count() == 1
    assert store.id_of("b.txt") == store.id_of("a.txt") and store.document("c.txt").uri == "c.txt"
    assert store.unchanged("b.txt", "hash of The drill is every May.") and not store.unchanged("d.txt", "x")
    (hit,) = store.search("drill", k=5, method="bm25")
    assert (hit.uri, hit.copies) == ("a.txt", ("b.txt", "c.txt"))
    assert [(one.uri, one.copies) for one in store.documents()] == [("a.txt", ("b.txt", "c.txt"))]
    assert store.copies.alike(store.document("a.txt")) == "a.txt"


@pytest.mark.parametrize("gone", ["a.txt", "b.txt"])
def test_a_name_that_goes_leaves_the_others(store: RelationalDocumentStore, gone: str) -> None:
    number = store.id_of("c.txt")
    assert store.remove(gone) and not store.remove(gone)
    left = [name for name in ("a.txt", "b.txt", "c.txt") if name != gone]
    assert store.uris() == left and store.id_of(left[0]) == number
    assert store.vanished(Path("c.txt"), set()) == ["c.txt"]
    assert [store.remove(name) for name in left] == [True, True] and store.empty()


@pytest.mark.parametrize("changed", ["a.txt", "c.txt"])
def test_a_file_that_changes_is_no_copy_any_more(store: RelationalDocumentStore, changed: str) -> None:
    put(store, changed, "The drill is every June.")
    assert store.count() == 2 and store.document(changed).text.endswith("June.")
    assert {store.document(name).text[-4:] for name in store.uris() if name != changed} == {"May."}


def test_a_name_of_another_document_moves(store: RelationalDocumentStore) -> None:
    put(store, "d.txt", "Another text.")
    store.copies.add_many([("d.txt", "a.txt")])
    assert store.count() == 1 and store.id_of("d.txt") == store.id_of("a.txt")
