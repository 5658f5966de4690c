"""Images in the store, with small random vectors: what went in is found, by text, image, caption and filter."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import old_stores
import pytest

from mmgen import deprecated
from mmgen.errors import BadRequest, NotFound, StoreError
from mmgen.stores import schema
from mmgen.stores.documents import DocumentStore
from mmgen.stores.image_store import ImageStore, StoredImage
from mmgen.stores.relational.documents import RelationalDocumentStore

E = 8


def unit(*values: float) -> np.ndarray:
    vector = np.zeros(E, dtype=np.float32)
    vector[: len(values)] = values
    return vector / np.linalg.norm(vector)


def image(source: str, caption: str = "", inside: str = "", page: int | None = None, **metadata: str | int) -> StoredImage:
    uri = f"{source}#{inside}" if inside else source
    return StoredImage(uri, source, f"file of {source}", f"bytes of {uri}", hash(uri), 4, 3, b"thumb", caption, page, metadata)


@pytest.fixture
def store(store_at: Callable[..., Any]) -> Iterator[RelationalDocumentStore]:
    """Of every kind, one after the other."""
    with store_at(encoder="tiny", dimension=16) as store:
        yield store


@pytest.fixture
def images(store: RelationalDocumentStore) -> ImageStore:
    return filled(store)


def filled(store: RelationalDocumentStore) -> ImageStore:
    images = store.image_space("eyes", E)
    for n, name in enumerate(("lamp", "tea", "cat")):
        row = image(f"/p/{name}.png", year=2020 + n)
        images.replace(row.source, [row], np.eye(E, dtype=np.float32)[n : n + 1])
    inner = [image("/p/report.pdf", "Sales of lamps", "picture-1", 2), image("/p/report.pdf", "", "picture-2", 3)]
    images.replace("/p/report.pdf", inner, np.stack([unit(0, 0, 0, 1), unit(0, 0, 0, 1, 1)]))
    return images


def test_their_kind_is_image_and_by_its_old_name_they_are_found_for_a_release(
    images: ImageStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deprecated, "_told", set())
    assert len(images.all(["kind=image"])) == 5 and images.all(["kind!=image"]) == [] and not caplog.messages
    assert len(images.all(["kind=picture"])) == 5 and images.all({"kind": "text"}) == []
    assert caplog.messages == ["the filter kind=picture is kind=image now; the old name goes in the next release"]


def test_what_went_in_comes_out(store: RelationalDocumentStore, images: ImageStore) -> None:
    assert images.count() == 5 and images.sources() == [f"/p/{n}" for n in ("cat.png", "lamp.png", "report.pdf", "tea.png")]
    hit = images.all()[2]
    assert (hit.uri, hit.source, hit.page, hit.caption) == ("/p/report.pdf#picture-1", "/p/report.pdf", 2, "Sales of lamps")
    assert str(hit) == "report.pdf, page 2, picture-1" and str(images.all()[1]) == "lamp.png"
    assert images.look(hit.image_id) == (hit.uri, hit.source, b"thumb")
    summary = store.documents()[0]
    assert (summary.uri, summary.kind, summary.passages, summary.metadata) == ("/p/cat.png", "image", 0, {"year": 2022})
    inner = store.document("/p/report.pdf#picture-1")
    assert (inner.text, inner.kind) == ("Sales of lamps", "image")
    assert images.unchanged("/p/cat.png", "file of /p/cat.png") and not images.unchanged("/p/cat.png", "other")
    hashes, ids = images.hashes()
    assert len(hashes) == len(set(ids.tolist())) == 5
    with pytest.raises(NotFound, match="has no image 99"):
        images.look(99)


def test_by_text_by_image_and_by_both(images: ImageStore) -> None:
    text, seen = unit(0.3, 0.1), unit(0, 0.9, 0.8)
    by_text, by_image = images.search(text, k=2), images.search(image=seen, k=2)
    assert [str(hit) for hit in by_text] == ["lamp.png", "tea.png"] and [str(hit) for hit in by_image] == [
        "tea.png",
        "cat.png",
    ]
    assert by_text[0].score == by_text[0].scores["text"] == pytest.approx(float(text[0]))
    assert set(by_image[0].scores) == {"image"}
    both = {weight: str(images.search(text, seen, weight=weight)[0]) for weight in (0.0, 0.5, 1.0)}
    assert both == {0.0: "tea.png", 0.5: "tea.png", 1.0: "lamp.png"}
    hits = images.search(text, seen)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(set(hit.scores) == {"text", "image"} for hit in hits)


def test_captions_count(images: ImageStore) -> None:
    found = images.search(unit(0.5, 0.45, 0.4), words_of="what are the sales?", k=1)[0]
    assert str(found) == "lamp.png" and "caption" not in found.scores
    found = images.search(unit(0, 0, 1, 0.9), words_of="what are the sales?", k=1)[0]
    assert found.caption == "Sales of lamps" and found.scores["caption"] > 0
    assert images.search(unit(0, 0, 1, 0.9), words_of='"; DROP', k=1)[0].uri == "/p/cat.png"


def test_filters(images: ImageStore) -> None:
    assert [str(hit) for hit in images.search(unit(1), where=["year>=2021"])] == ["tea.png", "cat.png"]
    assert [str(hit) for hit in images.all({"year": 2020})] == ["lamp.png"]
    assert images.search(unit(1), words_of="lamps", where=["kind=text"]) == []


def test_a_files_images_are_replaced_together(store: RelationalDocumentStore, images: ImageStore) -> None:
    images.search(unit(1))  # an index is there
    images.replace("/p/report.pdf", [image("/p/report.pdf", "A cup", "picture-1", 1)], unit(0, 1)[None])
    assert [hit.caption for hit in images.all() if hit.source == "/p/report.pdf"] == ["A cup"]
    assert not images.search(unit(0, 0, 0, 1), words_of="sales lamps")[0].scores.get("caption")
    assert images.remove("/p/report.pdf") == 1 and images.remove("/p/report.pdf") == 0
    assert len(images.search(unit(0, 1), k=10)) == 3
    assert store.remove("/p/tea.png") and images.count() == 2 and images.search(unit(0, 1), k=10)[0].score < 0.1


def test_all_or_nothing(images: ImageStore) -> None:
    bad = np.full((1, E), np.nan, dtype=np.float32)
    rows = [("/p/new.png", [image("/p/new.png")], unit(1)[None]), ("/p/bad.png", [image("/p/bad.png")], bad)]
    with pytest.raises(BadRequest, match=r"/p/bad\.png: a vector is not finite"):
        images.replace_many(rows)
    with pytest.raises(BadRequest, match=r"vectors of shape \(1, 3\) for 1 images of 8 dimensions"):
        images.replace("/p/new.png", [image("/p/new.png")], np.zeros((1, 3), dtype=np.float32))
    assert images.count() == 5
    with pytest.raises(BadRequest, match="query vector has shape"):
        images.search(np.zeros(3, dtype=np.float32))


def test_exact_duplicates_are_found_elsewhere_only(images: ImageStore) -> None:
    assert images.holding("bytes of /p/cat.png", "/q/copy.png") == "/p/cat.png"
    assert images.holding("bytes of /p/cat.png", "/p/cat.png") is None and images.holding("other", "") is None


def test_the_space_is_kept(store: RelationalDocumentStore, images: ImageStore, store_at: Callable[..., Any]) -> None:
    assert store.image_space("eyes#int8", E).count() == 5  # a precision is no other space
    for encoder, dimension in (("ears", E), ("eyes", E + 1)):
        with pytest.raises(StoreError, match=r"were embedded by eyes \(8 dimensions\), not"):
            store.image_space(encoder, dimension)
    store.close()
    with store_at(readonly=True) as again:
        assert again.images is not None and again.images.encoder == "eyes"
        assert str(again.images.search(unit(0, 0, 1))[0]) == "cat.png"
        with pytest.raises(StoreError, match="for reading only"):
            again.images.remove("/p/cat.png")


def test_the_index_file_is_kept_and_damage_is_no_loss(tmp_path: Path) -> None:
    store = DocumentStore(tmp_path / "s", encoder="tiny", dimension=16)
    images = filled(store)
    images.search(unit(1))
    store.close()
    file = store.path / "pictures.faiss"
    assert file.is_file()
    for damage in (b"junk", file.read_bytes()[:-5]):
        file.write_bytes(damage)
        with DocumentStore(store.path) as again:
            assert again.images is not None and str(again.images.search(unit(0, 1))[0]) == "tea.png"


def format_1(path: Path) -> None:
    old_stores.make(path, 1, {"/a.txt": "The lamp was lit."})


def test_an_older_store_gets_images_and_loses_nothing(tmp_path: Path) -> None:
    format_1(tmp_path / "s")
    with DocumentStore(tmp_path / "s", readonly=True) as store:
        assert store.images is None and store.search("lamp", method="bm25")[0].uri == "/a.txt"
    with DocumentStore(tmp_path / "s") as store:
        assert store.images is None
        store.image_space("eyes", E).replace("/p/cat.png", [image("/p/cat.png")], unit(1)[None])
        assert store.search("lamp", method="bm25")[0].passage.text == "The lamp was lit."
        assert store.uris() == ["/a.txt", "/p/cat.png"] and store.search("lamp", np.ones(16, np.float32) / 4)[0].uri == "/a.txt"
        assert store.vanished(Path("/"), set()) == ["/a.txt"]
    with sqlite3.connect(tmp_path / "s" / "store.sqlite") as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_an_older_store_is_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    format_1(tmp_path / "s")
    (tmp_path / "s" / "store.sqlite").chmod(0o444)
    with DocumentStore(tmp_path / "s", readonly=True) as store:
        assert store.count() == 1 and store.images is None


CHILD = """
import sys
import numpy as np
from pathlib import Path
from mmgen.stores.documents import DocumentStore
from mmgen.stores.image_store import StoredImage

store = DocumentStore(Path(sys.argv[1]), encoder="tiny", dimension=16)
images = store.image_space("eyes", 8)
vector = np.full((1, 8), 8**-0.5, dtype=np.float32)

def image(uri, number):
    return uri, [StoredImage(uri, uri, "f", uri, number, 1, 1, b"t", f"cup {number}")], vector

for number in range(100_000):
    rows = [image(f"/a{number}", number), image(f"/b{number}", number)]
    images.replace_many(rows)
    print(number, flush=True)
"""


def test_kill_9(tmp_path: Path) -> None:
    """What was acknowledged is there, whole commits and no halves."""
    format_1(tmp_path / "s")
    with subprocess.Popen([sys.executable, "-c", CHILD, tmp_path / "s"], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(20)]
        child.kill()
        told += [int(line) for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    with DocumentStore(tmp_path / "s") as store:
        images = store.images
        assert images is not None and store.search("lamp", method="bm25")
        stored = {hit.uri for hit in images.all()}
        assert {f"/{side}{n}" for n in told for side in "ab"} <= stored and len(stored) in (2 * len(told), 2 * len(told) + 2)
        assert len(images.search(unit(1), words_of=f"cup {max(told)}", k=2)) == 2
