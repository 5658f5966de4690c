"""A store whose vectors lie in shards finds what a flat index finds: added, removed, reopened, damaged, built beside others."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmgen.errors import BadRequest
from mmgen.interfaces import Document, Passage
from mmgen.stores import faiss_index
from mmgen.stores.documents import DocumentStore
from mmgen.stores.shards import building, sharded_index, snapshots
from mmgen.stores.shards.disk_index import CODES, IDS
from mmgen.stores.shards.side_by_side import shard_of

D, COUNT = 16, 300
ROWS = np.random.default_rng(0).normal(size=(2 * COUNT, D)).astype(np.float32)
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)
QUERIES = ROWS[: 2 * COUNT : 25]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss_index, "LEAST_TO_TRAIN", 100)
    monkeypatch.setattr(building, "ROUNDS", 2)


def items(first: int, last: int) -> list[tuple[Document, list[Passage], np.ndarray]]:
    """Documents of two passages."""
    made = []
    for number in range(first, last, 2):
        text = f"Tea {number}.Tea {number + 1}."
        half = len(f"Tea {number}.")
        parts = [Passage(text[:half], 0, half), Passage(text[half:], half, len(text))]
        made.append(
            (Document(f"/{number}", text, "text", f"h{number}", (), {"part": number % 3}), parts, ROWS[number : number + 2])
        )
    return made


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "s"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faiss_index, "LEAST_TO_TRAIN", 100)
        patch.setattr(building, "ROUNDS", 2)
        with DocumentStore(path, encoder="tiny", dimension=D) as store:
            store.use_index("shards:3")
            store.add_many(items(0, COUNT))
    return path


@pytest.fixture
def path(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "s"))


def root(path: Path) -> Path:
    return path / "vectors.shards"


def same(path: Path, k: int = 7) -> None:
    """What the shards find is what a flat index over the same store finds."""
    with DocumentStore(path, readonly=True) as store, DocumentStore(path, readonly=True, index="flat") as flat:
        scores, ids = store.search_many(QUERIES, k)
        expected, known = flat.search_many(QUERIES, k)
        assert store._index.kind == "shards" and flat._index.kind == "flat"
        assert np.array_equal(ids, known)
        np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_it_finds_what_a_flat_index_finds(path: Path) -> None:
    (folder,) = root(path).iterdir()
    assert len(list(folder.glob(f"shard-*/{CODES}"))) == 3, "built when the writer closed"
    same(path)
    same(path, k=2 * COUNT)
    with DocumentStore(path, readonly=True) as store:
        store.search(vector=ROWS[3], method="dense")
        index = store._index._index
        assert isinstance(index, sharded_index.ShardedIndex) and (len(index), len(index.tail)) == (COUNT, 0)
        for number, shard in enumerate(index.shards):
            documents = {
                row[0] for row in store._database.all("SELECT id, document_id FROM passages") if row[0] in set(shard.ids)
            }
            assert documents and all(shard_of(f"h{(n - 1) // 2 * 2}", 3) == number for n in documents), "by its document's hash"


def test_what_is_added_and_removed_since(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(root(path).iterdir())
    with DocumentStore(path, encoder="tiny", dimension=D) as store, DocumentStore(path, readonly=True) as beside:
        for one in (store, beside):
            assert one.search(vector=ROWS[4], method="dense", k=1)[0].uri == "/4"
        store.add_many(items(COUNT, COUNT + 20))
        store.remove("/4")
        for one in (store, beside):
            assert one.search(vector=ROWS[COUNT + 1], method="dense", k=1)[0].score == pytest.approx(1, abs=1e-5)
            assert "/4" not in {hit.uri for hit in one.search(vector=ROWS[4], method="dense", k=300)}
    assert sorted(root(path).iterdir()) == before, "a little is not worth building anew"
    same(path)
    monkeypatch.setattr("mmgen.stores.vector_cache.EXACT_UNTIL", 10)
    with DocumentStore(path, readonly=True) as store:
        found = store.search(vector=ROWS[9], method="dense", k=200, where={"part": 0})
        assert len(found) == 2 * len(range(0, COUNT + 20, 6)) and {hit.metadata["part"] for hit in found} == {0}, (
            "filters reach into shards and what came since"
        )
    with DocumentStore(path, encoder="tiny", dimension=D) as store:
        store.add_many(items(COUNT + 20, 2 * COUNT))
    (after,) = root(path).iterdir()
    assert [after] != before, "so much is, and the older shards are gone"
    same(path)


def test_what_is_in_memory_beside_shards_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharded_index, "TAIL", 30)
    with DocumentStore(path, encoder="tiny", dimension=D) as store, DocumentStore(path, readonly=True) as beside:
        beside.search(vector=ROWS[0], method="dense")
        old = beside._index._index
        store.add_many(items(COUNT, COUNT + 40))
        assert store.search(vector=ROWS[COUNT + 1], method="dense", k=1)[0].uri == f"/{COUNT}"
        (folder,) = root(path).iterdir()
        assert beside.search(vector=ROWS[COUNT + 1], method="dense", k=1)[0].uri == f"/{COUNT}"
        assert beside._index._index is not old and beside._index._index.folder == folder, "it takes what the other has built"
    same(path)


@pytest.mark.parametrize("damage", ["torn", "missing", "manifest", "of another history"])
def test_damaged_shards_are_built_again(path: Path, damage: str) -> None:
    (folder,) = root(path).iterdir()
    if damage == "torn":
        (folder / "shard-0001" / CODES).write_bytes(b"torn")
    elif damage == "missing":
        (folder / "shard-0001" / IDS).unlink()
    else:
        told = json.loads((folder / snapshots.MANIFEST).read_text())
        told["stamp"][1] += 1
        text = "{" if damage == "manifest" else json.dumps(told)
        (folder / snapshots.MANIFEST).write_text(text)
    same(path)
    assert len(list(root(path).glob(f"*/{snapshots.MANIFEST}"))) == 1


def test_too_few_stay_in_memory_and_another_index_removes_shards(tmp_path: Path, path: Path) -> None:
    with DocumentStore(tmp_path / "few", encoder="tiny", dimension=D, index="shards") as store:
        store.add_many(items(0, 20))
        assert store.search(vector=ROWS[4], method="dense", k=1)[0].uri == "/4" and store._index.kind == "shards"
    assert not root(tmp_path / "few").exists()
    with DocumentStore(path, encoder="tiny", dimension=D) as store:
        store.use_index("shards:2")
        store.refresh()
        (folder,) = root(path).iterdir()
        assert len(list(folder.glob(f"shard-*/{CODES}"))) == 2, "another number is built at once"
        store.use_index("flat")
        store.refresh()
        assert store.search(vector=ROWS[4], method="dense", k=1)[0].uri == "/4"
        assert not root(path).exists() and (path / "vectors.faiss").is_file()
        for wrong in ("shards:0", "shards:x", "shards:", "shards:1025"):
            with pytest.raises(BadRequest, match=r"write shards:N with N from 1 to 1,024"):
                store.use_index(wrong)


def test_shards_that_cannot_be_written_are_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    snapshots.discard(root(path))
    root(path).write_text("not a folder")
    with DocumentStore(path, readonly=True) as store:
        assert store.search(vector=ROWS[4], method="dense", k=1)[0].uri == "/4" and store._index.kind == "flat"
    assert "no shards can be built" in caplog.text and "its vectors are searched in memory" in caplog.text
