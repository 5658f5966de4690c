"""Feedback goes with its document, stays where the words stay, and is copied with the store."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from postgres_server import PostgresServer

from mmgen.interfaces import Document, Passage
from mmgen.stores.documents import DocumentStore
from mmgen.stores.postgres.documents import PostgresDocumentStore
from mmgen.stores.relational import copying
from mmgen.stores.relational.adapters import StoreAdapter
from mmgen.stores.relational.documents import RelationalDocumentStore
from mmgen.stores.relational.feedback import Feedback

TEXT = "The lamp was lit in 1823."
SAID = [
    Feedback("When was it lit?", "lamp", "wrong", "1823", "/a", 20, 24),
    Feedback("Who lit it?", "lamp", "wrong", "", "/a", 4, 8),
    Feedback("Who was he?", "", "right", ""),
]


def put(store: RelationalDocumentStore, uri: str, text: str) -> None:
    store.add(Document(uri, text, "text", text), [Passage(text, 0, len(text))], np.ones((1, 2), np.float32))


def bare(store: RelationalDocumentStore) -> list[Feedback]:
    return [Feedback(**{**vars(one), "id": 0, "given_at": ""}) for one in store.feedback.all()]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DocumentStore]:
    with DocumentStore(tmp_path / "s", encoder="tiny", dimension=2) as made:
        put(made, "/a", TEXT)
        assert made.feedback.all() == [] and made.adapters.get("reader") is None
        yield made


def test_it_goes_with_its_document(store: DocumentStore) -> None:
    store.feedback.add_many(SAID)
    assert bare(store) == SAID and all(one.given_at for one in store.feedback.all())
    store.feedback.add_many([SAID[0]])
    assert len(store.feedback.all()) == 3, "the same answer to the same question is judged once"
    put(store, "/a", f"Now: {TEXT}")
    moved = {one.question: (one.start, one.end) for one in store.feedback.all()}
    assert moved == {"When was it lit?": (25, 29), "Who lit it?": (9, 13), "Who was he?": (0, 0)}
    put(store, "/a", "The lamp was lit.")
    assert [one.question for one in store.feedback.all()] == ["Who was he?", "Who lit it?"], "1823 is gone"
    store.remove("/a")
    assert bare(store) == SAID[2:] and store.feedback.remove([99, store.feedback.all()[0].id]) == 1


def test_there_and_back(store: DocumentStore, postgres: PostgresServer, tmp_path: Path) -> None:
    store.feedback.add_many(SAID)
    store.adapters.put(StoreAdapter("reader", "embedded:reader", "d", b"\0one", {"p": 0.01}))
    with (
        PostgresDocumentStore(postgres.url("judged"), encoder="tiny", dimension=2) as server,
        DocumentStore(tmp_path / "back", encoder="tiny", dimension=2) as back,
    ):
        done = copying.copy(store, server)
        assert (done.feedback, done.adapters) == (3, 1) and "3 of feedback, 1 adapters" in str(done)
        again = copying.copy(server, back)
        assert bare(back) == SAID and (again.feedback, again.adapters) == (3, 1)
        assert [one.given_at for one in back.feedback.all()] == [one.given_at for one in store.feedback.all()]
        kept = back.adapters.get("reader")
        assert kept is not None and (kept.weights, kept.facts, kept.base_digest) == (b"\0one", {"p": 0.01}, "d")
        assert copying.copy(server, back).feedback == 0
        put(server, "/a", f"Now: {TEXT}")
        assert server.feedback.all()[-1].start == 9
        server.remove("/a")
        assert bare(server) == SAID[2:] and server.adapters.remove("reader") and not server.adapters.remove("reader")
    postgres.execute("DROP SCHEMA judged CASCADE")


def test_what_is_held_out_stays_so() -> None:
    parts = [Feedback(f"Question {n}?", "", "right").held_out for n in range(300)]
    assert 70 < sum(parts) < 130
    assert all(Feedback(f"question  {n}?", "x", "wrong").held_out == one for n, one in enumerate(parts))
