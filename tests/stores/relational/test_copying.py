"""A store copied to a server and back is the store that it was, and answers the same."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from postgres_server import PostgresServer

from mmgen.errors import StoreError
from mmgen.interfaces import Document, PageLayout, Passage
from mmgen.stores.documents import DocumentStore
from mmgen.stores.image_store import StoredImage
from mmgen.stores.postgres.documents import PostgresDocumentStore
from mmgen.stores.relational import copying
from mmgen.stores.relational.documents import RelationalDocumentStore

SAID = "The lamp was lit.", "Der Leuchtturmwärter schläft.", "茶は日本に来ました。"


@pytest.fixture
def first(tmp_path: Path) -> Iterator[DocumentStore]:
    rng = np.random.default_rng(1)
    with DocumentStore(tmp_path / "first", encoder="tiny", dimension=4, prompts={"query": "q: ", "document": ""}) as store:
        for number, text in enumerate(SAID):
            layout = PageLayout.of(1, (9, 9), np.array([[0, 3]]), np.array([[0, 0, 5, 5]]), np.array([0.75]))
            document = Document(
                f"/{number}", text, "pdf", f"h{number}", (0,), {"year": 2000.5 + number, "ok": True}, "", (layout,)
            )
            passages = [Passage(text[:4], 0, 4, 1, "A > B"), Passage(text[2:], 2, len(text), 1)]
            store.add(document, passages, rng.normal(size=(2, 4)).astype(np.float32))
        store.copies.add_many([("/same", "/0"), ("/too", "/2")])
        store.date({"/1": "2001-02-03 04:05:06"})
        images = store.image_space("eyes", 3)
        picture = StoredImage("/p.png", "/p.png", "f", "b", -(2**63), 4, 3, b"\0thumb", "A red lamp", None, {"album": "a"})
        images.replace("/p.png", [picture], rng.normal(size=(1, 3)).astype(np.float32))
        yield store


def content(store: RelationalDocumentStore) -> list[object]:
    """All that can be seen of a store, but for its ids."""
    seen: list[object] = [store.encoder, store.dimension, store.prompts, store.uris()]
    for one in store.documents():
        ids, passages = store.passages(one.id)
        layouts = [[part.tolist() for part in page.words()] for page in store.layouts(one.id)]
        seen += [store.document(one.id), one.added_at, one.copies, passages, store.vectors(ids).tolist(), layouts]
    assert store.images is not None
    seen += [(images, vectors.tolist()) for images, vectors in map(store.images.stored, store.images.sources())]
    for query in ("lamp", "Leuchtturm", "茶"):
        hits = store.search(query, np.ones(4, np.float32), k=9)
        seen.append([(hit.uri, hit.passage, hit.copies, pytest.approx(hit.score, abs=1e-6)) for hit in hits])
    return seen


def test_there_and_back(first: DocumentStore, postgres: PostgresServer, tmp_path: Path) -> None:
    with (
        PostgresDocumentStore(postgres.url("copied"), encoder="tiny", dimension=4, prompts=first.prompts) as server,
        DocumentStore(tmp_path / "back", encoder="tiny", dimension=4, prompts=first.prompts) as back,
    ):
        server.add(Document("/own", "Own.", "text", "h"), [Passage("Own.", 0, 4)], np.ones((1, 4), np.float32))
        done = copying.copy(first, server)
        assert str(done) == "3 documents copied (6 passages), 1 images, 2 copies of others" and "/own" in server.uris()
        server.remove("/own")
        copying.copy(server, back)
        assert content(first) == content(server) == content(back)
        again = copying.copy(back, server)
        assert str(again) == "0 documents copied (0 passages), 0 images; 4 were there already"
        server.remove("/1")
        assert copying.copy(first, server).documents == 1 and content(server) == content(first)
    postgres.execute("DROP SCHEMA copied CASCADE")


def test_another_encoder(first: DocumentStore, tmp_path: Path) -> None:
    with DocumentStore(tmp_path / "other", encoder="other", dimension=4) as other:
        with pytest.raises(StoreError, match=r"was filled by other \(4 dimensions\), not tiny"):
            copying.copy(first, other)
        assert other.uris() == []


def test_a_copy_that_was_cut_off_goes_on(first: DocumentStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "AT_ONCE", 1)

    def stop(done: copying.StoreCopy) -> None:
        raise KeyboardInterrupt

    with DocumentStore(tmp_path / "copy", encoder="tiny", dimension=4, prompts=first.prompts) as target:
        with pytest.raises(KeyboardInterrupt):
            copying.copy(first, target, stop)
        assert target.uris() == ["/0"]
        done = copying.copy(first, target)
        assert (done.documents, done.unchanged) == (2, 1) and content(target) == content(first)
