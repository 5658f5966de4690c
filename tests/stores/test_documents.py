"""The store with small random vectors: what went in comes out, filtered, updated, removed, and whatever goes wrong is told."""

import json
import os
import sqlite3
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from mmgen.errors import BadRequest, Busy, Closed, NotFound, StoreError
from mmgen.interfaces import Document, Passage
from mmgen.stores import faiss_index
from mmgen.stores.documents import DocumentStore
from mmgen.stores.faiss_index import VectorIndex
from mmgen.stores.relational.documents import RelationalDocumentStore

D = 16
Opening = Callable[..., Any]


def vectors(count: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, D)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def document(uri: str, *texts: str, **metadata: str | int) -> tuple[Document, list[Passage]]:
    text = "\n\n".join(texts)
    passages, at = [], 0
    for part in texts:
        passages.append(Passage(part, at, at + len(part)))
        at += len(part) + 2
    return Document(uri, text, "text", str(hash(text)), (), metadata), passages


@pytest.fixture
def store(store_at: Opening) -> Iterator[RelationalDocumentStore]:
    """Of every kind, one after the other."""
    with store_at(encoder="tiny", dimension=D) as store:
        yield store


def fill(store: RelationalDocumentStore) -> np.ndarray:
    v = vectors(4)
    store.add(*document("/a/lamp.txt", "The lamp was lit in 1823.", "It shone over the sea.", lang="en", year=1823), v[:2])
    store.add(*document("/a/tea.txt", "Tea came to Japan.", lang="en", year=805), v[2:3])
    store.add(*document("/b/tee.txt", "Der Tee kam nach Japan.", lang="de"), v[3:])
    return v


def test_what_went_in_comes_out(store: RelationalDocumentStore) -> None:
    v = fill(store)
    assert store.count() == 4
    assert store.uris() == ["/a/lamp.txt", "/a/tea.txt", "/b/tee.txt"]
    lamp = store.document("/a/lamp.txt")
    assert lamp.text == "The lamp was lit in 1823.\n\nIt shone over the sea."
    assert lamp.metadata == {"lang": "en", "year": 1823} and store.document(1) == lamp
    first = store.documents()[0]
    assert (first.uri, first.passages, first.characters) == ("/a/lamp.txt", 2, len(lamp.text))
    np.testing.assert_array_equal(store.vectors([2, 1]), v[[1, 0]])


def test_the_three_methods(store: RelationalDocumentStore) -> None:
    v = fill(store)
    words = store.search("who lit the lamps?", method="bm25")
    assert [hit.passage.text for hit in words] == ["The lamp was lit in 1823."]
    dense = store.search(vector=v[2], method="dense", k=2)
    assert dense[0].uri == "/a/tea.txt" and dense[0].score == pytest.approx(1, abs=1e-5)
    both = store.search("tea", v[2], k=4)
    assert both[0].uri == "/a/tea.txt" and set(both[0].scores) == {"bm25", "dense"}
    assert all("dense" in hit.scores for hit in both)
    assert [h.score for h in both] == sorted([h.score for h in both], reverse=True)


def test_quotes_and_operators_are_just_words(store: RelationalDocumentStore) -> None:
    fill(store)
    for query in ('"', "lamp OR", "NEAR(", "lamp*", "text:lamp", "'; DROP TABLE documents; --", "the of and", "?!", ""):
        store.search(query, method="bm25")
    assert len(store.search("lamp AND NOT sea", method="bm25")) == 2
    assert store.count() == 4


def test_filters_come_before_the_best_k(store: RelationalDocumentStore) -> None:
    v = fill(store)

    def found(*filters: str, **options: object) -> set[str]:
        hits = store.search("tea tee lamp sea", v[0], k=1 if options else 9, where=store.parse_where(list(filters)))
        return {Path(hit.uri).name for hit in hits}

    assert found("lang=de") == {"tee.txt"} == found("lang=de", k=1)
    assert found("lang!=de") == {"lamp.txt", "tea.txt"}
    assert found("year>=1000") == {"lamp.txt"}
    assert found("year<1000", "lang=en") == {"tea.txt"}
    assert found("kind=text", "uri=/b/tee.txt") == {"tee.txt"}
    assert found("nothing=1") == set()
    assert found("lang>=1") == set(), "a text is not larger than a number"
    assert found("lang>=de") == {"lamp.txt", "tea.txt", "tee.txt"} and found("lang>de", "year<1e3") == {"tea.txt"}
    assert store.search("tee", v[0], where={"lang": "de"})[0].uri == "/b/tee.txt"


@pytest.mark.parametrize("text", ["lang", "=de", "la ng=x", "x\"]') OR 1=1 --=1"])
def test_bad_filters(store: RelationalDocumentStore, text: str) -> None:
    with pytest.raises(BadRequest, match="cannot be understood"):
        store.parse_where([text])


def test_a_filters_value_is_never_sql(store: RelationalDocumentStore) -> None:
    fill(store)
    assert store.search("tea", vectors(1)[0], where=store.parse_where(["lang=de' OR '1'='1"])) == []


def test_update_replaces(store: RelationalDocumentStore) -> None:
    v = fill(store)
    store.search("warm", v[0])
    new = vectors(1, seed=9)
    store.add(*document("/a/lamp.txt", "Another lamp stands here."), new)
    assert store.count() == 3
    assert [hit.passage.text for hit in store.search("lit 1823", method="bm25")] == []
    assert store.search(vector=new[0], method="dense")[0].passage.text == "Another lamp stands here."
    assert all(hit.passage.text != "The lamp was lit in 1823." for hit in store.search(vector=v[0], method="dense"))


def test_remove(store: RelationalDocumentStore) -> None:
    v = fill(store)
    store.search("warm", v[0])
    assert store.remove("/a/tea.txt") and not store.remove("/a/tea.txt")
    assert len(store.search("tea", v[2], k=9)) == 3
    assert store.uris() == ["/a/lamp.txt", "/b/tee.txt"]
    with pytest.raises(NotFound, match=r"no document '/a/tea\.txt'"):
        store.document("/a/tea.txt")


def test_unchanged_and_vanished(store: RelationalDocumentStore) -> None:
    fill(store)
    lamp, _ = document("/a/lamp.txt", "The lamp was lit in 1823.", "It shone over the sea.")
    assert store.unchanged("/a/lamp.txt", lamp.content_hash)
    assert not store.unchanged("/a/lamp.txt", "other") and not store.unchanged("/none", lamp.content_hash)
    assert store.vanished(Path("/a"), {"/a/tea.txt"}) == ["/a/lamp.txt"]
    assert store.vanished(Path("/a/lamp.txt"), set()) == ["/a/lamp.txt"]


def test_a_transaction_is_whole_or_not_at_all(store: RelationalDocumentStore) -> None:
    good, bad = document("/good", "One."), document("/bad", "Two.")
    with pytest.raises(BadRequest, match=r"/bad: vectors of shape \(2, 16\) for 1 passages"):
        store.add_many([(*good, vectors(1)), (*bad, vectors(2))])
    assert store.uris() == []
    with pytest.raises(BadRequest, match="passage at 0:4 is not the document's text there"):
        store.add(good[0], [Passage("None", 0, 4)], vectors(1))


def test_the_store_is_there_when_opened_again(store_at: Opening) -> None:
    with store_at(encoder="tiny", dimension=D) as store:
        v = fill(store)
        first = store.search("tea", v[2])
    with store_at(readonly=True) as store:
        assert store.search("tea", v[2]) == first
        assert (store.encoder, store.dimension) == ("tiny", D)
        with pytest.raises(StoreError, match="opened for reading only"):
            store.remove("/a/tea.txt")


@pytest.mark.parametrize("damage", ["missing", "torn", "flipped", "empty", "of another store"])
def test_a_bad_cache_is_built_again(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    path, cache = tmp_path / "s", tmp_path / "s" / "vectors.faiss"
    with DocumentStore(path, encoder="tiny", dimension=D) as store:
        v = fill(store)
        expected = store.search(vector=v[1], method="dense", k=9)
    data = bytearray(cache.read_bytes())
    if damage == "missing":
        cache.unlink()
    elif damage == "torn":
        cache.write_bytes(data[:-7])
    elif damage == "flipped":
        data[100] ^= 1
        cache.write_bytes(data)
    elif damage == "empty":
        cache.write_bytes(b"")
    else:  # as many commits and passages, other vectors
        with DocumentStore(tmp_path / "t", encoder="tiny", dimension=D) as other:
            fill(other)
            for number in range(4):
                other.add(*document(f"/{number}", "New."), vectors(1, seed=number + 5))
                other.remove(f"/{number}")
            other.search(vector=v[1], method="dense")
        with sqlite3.connect(tmp_path / "t" / "store.sqlite") as connection:
            assert connection.execute("SELECT max(generation) FROM commits").fetchone() == (11,)
        connection.close()
        cache.write_bytes((tmp_path / "t" / "vectors.faiss").read_bytes())
    with caplog.at_level("INFO", "mmgen.stores"), DocumentStore(path, readonly=True) as store:
        assert store.search(vector=v[1], method="dense", k=9) == expected
    assert "building a flat index over 4 passages" in caplog.text
    with DocumentStore(path, readonly=True) as store:
        caplog.clear()
        assert store.search(vector=v[1], method="dense", k=9) == expected
    assert "building" not in caplog.text


def test_a_stale_cache_is_caught_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, cache = tmp_path / "s", tmp_path / "s" / "vectors.faiss"
    with DocumentStore(path, encoder="tiny", dimension=D) as store:
        v = fill(store)
        store.search("warm", v[1])
    old = cache.read_bytes()
    with DocumentStore(path, encoder="tiny", dimension=D) as store:
        store.add(*document("/c", "New."), -v[1:2])
        store.remove("/b/tee.txt")
        expected = store.search(vector=v[1], method="dense", k=9)
    cache.write_bytes(old)
    with caplog.at_level("INFO", "mmgen.stores"), DocumentStore(path, readonly=True) as store:
        assert store.search(vector=v[1], method="dense", k=9) == expected
    assert "building" not in caplog.text


def test_a_restored_copy_does_not_take_the_later_index(tmp_path: Path) -> None:
    """The copy goes on to the same generation with other documents; only the commit's token tells."""
    path = tmp_path / "s"
    with DocumentStore(path, encoder="tiny", dimension=D) as store:
        v = fill(store)
    copy = store.file.read_bytes()
    with DocumentStore(path, encoder="tiny", dimension=D) as store:
        store.add(*document("/c", "Lost with the restored copy."), v[:1])
        store.search("warm", v[0])
    store.file.write_bytes(copy)
    with DocumentStore(path, encoder="tiny", dimension=D) as store:
        new = vectors(1, seed=9)
        store.add(*document("/d", "Added after it."), new)
        assert store.search(vector=new[0], method="dense", k=1)[0].score == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf-pq"])
def test_the_index_can_be_asked_for(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    v = vectors(1200)
    with DocumentStore(tmp_path / "s", encoder="tiny", dimension=D) as store:
        store.add_many([(*document(f"/{number}", f"Tea {number}."), v[number : number + 1]) for number in range(1200)])
        expected = [hit.passage_id for hit in store.search(vector=v[3], method="dense", k=3)]
    with (
        caplog.at_level("INFO", "mmgen.stores"),
        DocumentStore(tmp_path / "s", readonly=True, index=kind) as store,
    ):
        assert [hit.passage_id for hit in store.search(vector=v[3], method="dense", k=3)] == expected
        scores, ids = store.search_many(v[:64], 3)
        assert ids.shape == (64, 3) and ids[:, 0].tolist() == list(range(1, 65))
        np.testing.assert_allclose(scores[:, 0], 1, atol=1e-5)
    assert ("building a" in caplog.text) == (kind != "flat")


def test_the_index_of_a_store_is_kept(tmp_path: Path) -> None:
    with DocumentStore(tmp_path / "s", encoder="tiny", dimension=D) as store:
        v = fill(store)
        store.use_index("hnsw")
        store.refresh()
    loaded = VectorIndex.load(tmp_path / "s" / "vectors.faiss", D)
    assert loaded is not None and (loaded.kind, len(loaded)) == ("hnsw", 4)
    with DocumentStore(tmp_path / "s", readonly=True) as store:
        assert store.search(vector=v[1], method="dense", k=1)[0].passage_id == 2
        assert store._index.kind == "hnsw"
    with pytest.raises(BadRequest, match="index 'tree' is unknown"):
        store.use_index("tree")


def test_a_writer_leaves_the_index_that_its_size_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search goes on with the index it has; the writer builds the better one when it closes."""
    monkeypatch.setattr(faiss_index, "FLAT_UNTIL", 100)
    v, path = vectors(150), tmp_path / "s"
    with DocumentStore(path, encoder="tiny", dimension=D) as store:
        store.add_many([(*document(f"/{number}", "Tea."), v[number : number + 1]) for number in range(90)])
        store.search(vector=v[0], method="dense")
        store.add_many([(*document(f"/{number}", "Tea."), v[number : number + 1]) for number in range(90, 150)])
        assert store.search(vector=v[149], method="dense", k=1)[0].uri == "/149"
        assert store._index.kind == "flat"
    loaded = VectorIndex.load(path / "vectors.faiss", D)
    assert loaded is not None and (loaded.kind, len(loaded)) == ("hnsw", 150)
    before = (path / "vectors.faiss").stat().st_mtime_ns
    with DocumentStore(path, encoder="tiny", dimension=D) as store:
        store.remove("/0")
    with DocumentStore(path, readonly=True) as store:
        assert "/0" not in {hit.uri for hit in store.search(vector=v[0], method="dense")}
    assert (path / "vectors.faiss").stat().st_mtime_ns == before, "a small change is not worth writing a large file"


def test_another_process_sees_what_was_written(store_at: Opening) -> None:
    """Two stores over one place: the reader's cached index follows the writer's."""
    with store_at(encoder="tiny", dimension=D) as writer, store_at(readonly=True) as reader:
        v = fill(writer)
        assert len(reader.search("tea", v[0], k=9)) == 4
        writer.remove("/a/lamp.txt")
        writer.add(*document("/c", "More tea."), vectors(1, seed=5))
        assert {hit.uri for hit in reader.search("tea", v[0], k=9)} == {"/a/tea.txt", "/b/tee.txt", "/c"}


def test_a_second_writer_waits_and_then_is_told(store_at: Opening) -> None:
    with store_at(encoder="tiny", dimension=D) as one, store_at(encoder="tiny", dimension=D, timeout=0.2) as two:
        with one._database.transaction(), pytest.raises(Busy, match="is being written by another process"):
            two.remove("/a")
        assert two.add(*document("/a", "Now it works."), vectors(1)) == 1


def test_many_threads_read_while_one_writes(store: RelationalDocumentStore) -> None:
    v = fill(store)
    failures: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                assert store.search("tea lamp", v[0], k=3)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(30):
        store.add(*document(f"/n{number}", f"Tea number {number}."), vectors(1, seed=number))
    done.set()
    for thread in threads:
        thread.join()
    assert not failures and store.count() == 34


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"there is no store at .*make one with: mmgen rag add"):
        DocumentStore(tmp_path / "none", readonly=True)
    assert not (tmp_path / "none").exists()


def test_a_newer_format(tmp_path: Path) -> None:
    store = DocumentStore(tmp_path / "s", encoder="tiny", dimension=D)
    store.close()
    with sqlite3.connect(store.file) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(StoreError, match="has format 7, this mmgen reads up to 4; upgrade mmgen"):
        DocumentStore(store.path, encoder="tiny", dimension=D)


def test_some_other_file(tmp_path: Path) -> None:
    for name, make in (("other", _other_database), ("text", _text), ("short", lambda path: path.write_text("hello\n"))):
        (tmp_path / name).mkdir()
        make(tmp_path / name / "store.sqlite")
        before = (tmp_path / name / "store.sqlite").read_bytes()
        with pytest.raises(StoreError, match=r"some other program's SQLite file|is no mmgen store"):
            DocumentStore(tmp_path / name, encoder="tiny", dimension=D)
        assert (tmp_path / name / "store.sqlite").read_bytes() == before


def _other_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks (url)")
    connection.commit()
    connection.close()


def _text(path: Path) -> None:
    path.write_text("this is no database at all" * 100)


def test_a_damaged_file(tmp_path: Path) -> None:
    store = DocumentStore(tmp_path / "s", encoder="tiny", dimension=D)
    fill(store)
    store.close()
    data = bytearray(store.file.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    store.file.write_bytes(data)
    with pytest.raises(StoreError, match="is damaged"):
        DocumentStore(store.path, readonly=True).search("tea", method="bm25")


def test_another_encoder(store: RelationalDocumentStore, store_at: Opening) -> None:
    with pytest.raises(StoreError, match=r"was filled by tiny \(16 dimensions\), not other"):
        store_at(encoder="other", dimension=D)
    store_at(encoder="tiny#int8", dimension=D).close()


def test_bad_arguments(store: RelationalDocumentStore, store_at: Opening) -> None:
    with pytest.raises(BadRequest, match="method is 'fuzzy'"):
        store.search("x", method="fuzzy")
    with pytest.raises(BadRequest, match="k is 0"):
        store.search("x", k=0)
    with pytest.raises(BadRequest, match=r"query vector has shape \(3,\)"):
        store.search(vector=np.ones(3, np.float32), method="dense")
    with pytest.raises(BadRequest, match="index 'tree' is unknown"):
        store_at(index="tree")
    with pytest.raises(BadRequest, match="method dense needs a vector"):
        store.search("x", method="dense")
    with pytest.raises(BadRequest, match=r"query vectors have shape \(3,\)"):
        store.search_many(np.ones(3, np.float32), 5)
    with pytest.raises(BadRequest, match="a vector is not finite"):
        store.add(*document("/a", "One."), np.full((1, D), np.nan, np.float32))
    with pytest.raises(BadRequest, match="filter year is an integer of 101 bits"):
        store.search("x", where={"year": 2**100})
    with pytest.raises(NotFound, match="no passage 7"):
        store.vectors([7])


def test_a_pasted_page_is_a_query(store: RelationalDocumentStore) -> None:
    fill(store)
    page = "lamp " + " ".join(f"word{number}" for number in range(20_000))
    assert store.search(page, method="bm25")[0].uri == "/a/lamp.txt"


def test_a_closed_store_says_so(store: RelationalDocumentStore) -> None:
    v = fill(store)
    store.close()
    store.close()
    with pytest.raises(Closed, match="was closed; open it again"):
        store.search("tea", v[0])


def test_threads_that_end_leave_no_connection(store: RelationalDocumentStore) -> None:
    v = fill(store)
    store.search("tea", v[0])
    before = psutil.Process().num_fds()
    for _ in range(20):
        thread = threading.Thread(target=store.search, args=("tea", v[0]))
        thread.start()
        thread.join()
    assert psutil.Process().num_fds() == before


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]).returncode:
        pytest.skip("mounting a small file system takes root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_loses_nothing(mounted: Path) -> None:
    store = DocumentStore(mounted / "s", encoder="tiny", dimension=D)
    stored = []
    with pytest.raises(StoreError, match=r"cannot grow .* bytes free\); make room, what was added before is safe"):
        for number in range(2000):
            uri = f"/d{number}"
            store.add(*document(uri, f"Tea number {number}. " * 50), vectors(1))
            stored.append(uri)
    assert len(stored) > 10
    assert set(store.uris()) == set(stored)
    assert store.search("tea", vectors(1)[0])
    store.close()
    with DocumentStore(mounted / "s", readonly=True) as again:
        assert set(again.uris()) == set(stored)


def test_a_read_only_folder_can_be_read(mounted: Path) -> None:
    with DocumentStore(mounted / "s", encoder="tiny", dimension=D) as store:
        v = fill(store)
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    with DocumentStore(mounted / "s", readonly=True) as store:
        assert store.search("tea", v[2])[0].uri == "/a/tea.txt"
    with pytest.raises(StoreError, match=r"cannot be (opened|written)"):
        DocumentStore(mounted / "s", encoder="tiny", dimension=D).remove("/a/tea.txt")
    with pytest.raises(StoreError, match="cannot be made"):
        DocumentStore(mounted / "t", encoder="tiny", dimension=D)


def test_a_store_in_disorder_in_a_read_only_folder_is_not_half_read(mounted: Path, tmp_path: Path) -> None:
    """A log that nobody can merge holds what was acknowledged; leaving it out would lose that without a word."""
    with DocumentStore(tmp_path / "s", encoder="tiny", dimension=D) as store:
        fill(store)
        (mounted / "s").mkdir()
        for name in ("store.sqlite", "store.sqlite-wal"):
            (mounted / "s" / name).write_bytes((tmp_path / "s" / name).read_bytes())
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    with pytest.raises(StoreError, match=r"was not closed properly .* copy the folder to where it can be written"):
        DocumentStore(mounted / "s", readonly=True)


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """Root may do everything: be somebody else for the length of a test."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_permissions(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = tmp_path / "s"
    with DocumentStore(path, encoder="tiny", dimension=D) as store:
        v = fill(store)
    for folder in [path, *path.parents][: -len(Path(tempfile.gettempdir()).parts)]:
        folder.chmod(0o755)
    store.file.chmod(0o444)
    path.chmod(0o555)
    request.addfinalizer(lambda: path.chmod(0o700))
    request.getfixturevalue("ordinary_user")
    with DocumentStore(path, readonly=True) as store:
        assert store.search("tea", v[2])[0].uri == "/a/tea.txt"
    with pytest.raises(StoreError, match=r"cannot be (opened|written)"):
        DocumentStore(path, encoder="tiny", dimension=D).remove("/a/tea.txt")
    with pytest.raises(StoreError, match=r"cannot be (made|written)"):
        DocumentStore(path / "inside", encoder="tiny", dimension=D)


def test_a_file_that_may_not_be_read(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with DocumentStore(tmp_path / "s", encoder="tiny", dimension=D) as store:
        fill(store)
    tmp_path.chmod(0)
    request.addfinalizer(lambda: tmp_path.chmod(0o700))
    request.getfixturevalue("ordinary_user")
    with pytest.raises(StoreError, match=r"cannot be opened \(Permission denied\)"):
        DocumentStore(tmp_path / "s", readonly=True)


def test_pages_and_headings_are_kept(store: RelationalDocumentStore) -> None:
    text = "Page one.\n\nPage two."
    passages = [Passage("Page one.", 0, 9, 1, "A > B"), Passage("Page two.", 11, 20, 2, "A")]
    store.add(Document("/p.pdf", text, "pdf", "h", (0, 11)), passages, vectors(2))
    assert [hit.passage for hit in sorted(store.search("page", method="bm25"), key=lambda h: h.passage_id)] == passages
    assert store.document("/p.pdf").pages == (0, 11)
    assert json.loads(json.dumps(store.document("/p.pdf").metadata)) == {}
