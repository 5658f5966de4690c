"""A library over a tiny encoder: folders go in, only changes are touched, and nothing that was acknowledged is lost."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import hostile_extractors
import pytest
from office_files import compound, paragraph, word
from pdf_files import lines, pdf_of, photographed

from mmgen.engine.job import Request
from mmgen.errors import BadRequest, Cancelled, NotFound, StoreError
from mmgen.ingest import image_text, loaders
from mmgen.ingest.extraction import pool
from mmgen.ingest.loaders import load_stdin
from mmgen.ingest.pdf import recognition
from mmgen.library import document_indexing
from mmgen.library.document_indexing import IndexProgress
from mmgen.library.document_library import DocumentLibrary
from mmgen.registry import Registry
from mmgen.runtime import Runtime


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three small files, one of them below."""
    folder = tmp_path / "docs"
    (folder / "below").mkdir(parents=True)
    (folder / "lamp.txt").write_text("The lamp was lit in 1823. It shone over the sea.")
    (folder / "tea.md").write_text("# Tea\n\nTea came to Japan with monks.")
    (folder / "below" / "bees.txt").write_text("Bees dance to tell where flowers are.")
    return folder


@pytest.fixture
def library(tiny_runtime: Runtime, tmp_path: Path) -> Iterator[DocumentLibrary]:
    library = DocumentLibrary.open(tiny_runtime, tmp_path / "store")
    yield library
    library.close()


def names(uris: list[str]) -> list[str]:
    return [Path(uri).name for uri in uris]


def test_a_folder_goes_in_and_is_found(library: DocumentLibrary, folder: Path) -> None:
    report = library.add(folder)
    assert names(report.added) == ["lamp.txt", "tea.md", "bees.txt"] and report.passages == 3
    assert str(report).startswith("3 documents added (3 passages in ")
    (hit,) = library.search("lamp", k=1, method="bm25")
    assert names([hit.uri]) == ["lamp.txt"]
    assert library.readable().document(hit.uri).text[hit.passage.start : hit.passage.end] == hit.passage.text


def test_only_what_changed_is_touched(library: DocumentLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library.add(folder)
    before = {summary.uri: summary.id for summary in library.readable().documents()}
    (folder / "tea.md").write_text("# Tea\n\nTea came to England later.")
    read: list[str] = []
    monkeypatch.setattr("mmgen.ingest.loaders.load", _recording(read))
    report = library.add(folder)
    assert names(report.added) == names(read) == ["tea.md"], "what did not change is not even opened by its loader"
    assert sorted(names(report.unchanged)) == ["bees.txt", "lamp.txt"]
    after = {summary.uri: summary.id for summary in library.readable().documents()}
    assert [name for name in before if before[name] != after[name]] == [str(folder / "tea.md")]
    assert "England" in library.search("tea", k=1, method="bm25")[0].passage.text


def _recording(read: list[str]) -> Any:
    from mmgen.ingest.loaders import load

    def record(path: Path, *given: Any, **options: Any) -> Any:
        read.append(str(path))
        return load(path, *given, **options)

    return record


def test_other_metadata_count_as_a_change(library: DocumentLibrary, folder: Path) -> None:
    library.add(folder)
    report = library.add(folder / "lamp.txt", metadata={"lang": "en"})
    assert names(report.added) == ["lamp.txt"]
    assert library.add(folder / "lamp.txt", metadata={"lang": "en"}).unchanged
    assert library.add(folder / "lamp.txt").unchanged, "metadata stay where none are given"
    assert names([hit.uri for hit in library.search("lamp tea", where=["lang=en"])]) == ["lamp.txt"]
    assert library.search("lamp", where={"lang": "de"}) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, [1]])
def test_metadata_that_no_filter_finds(library: DocumentLibrary, folder: Path, value: Any) -> None:
    with pytest.raises(BadRequest, match="metadata year is "):
        library.add(folder, metadata={"year": value})
    assert not library.path.exists()


def test_sync_removes_what_vanished_and_nothing_else(library: DocumentLibrary, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("Something else.")
    library.add([folder, other])
    (folder / "below" / "bees.txt").unlink()
    other.unlink()
    assert library.add(folder).removed == []
    report = library.add(folder, include=["*.txt"], sync=True)
    assert names(report.removed) == ["bees.txt"]
    left = names(library.readable().uris())
    assert left == ["lamp.txt", "tea.md", "other.txt"], "a file that is only excluded, or stands elsewhere, stays"


def test_sync_of_an_emptied_folder(library: DocumentLibrary, folder: Path) -> None:
    library.add(folder)
    for path in folder.rglob("*.*"):
        path.unlink()
    assert len(library.add(folder, sync=True).removed) == 3


def test_what_cannot_be_read_is_skipped_with_its_reason(library: DocumentLibrary, folder: Path) -> None:
    (folder / "empty.txt").touch()
    (folder / "odd.txt").write_bytes(b"\x00\x01\x02\xff" * 100)
    report = library.add(folder)
    assert len(report.added) == 3
    assert {Path(uri).name: reason.removeprefix(uri) for uri, reason in report.skipped} == {
        "empty.txt": " is empty; there is nothing to add",
        "odd.txt": " is a binary file; give text, or a format that mmgen reads",
    }


def test_a_file_that_vanishes_meanwhile_is_skipped(
    library: DocumentLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = folder / "gone.txt"
    monkeypatch.setattr("mmgen.ingest.file_discovery.files", lambda *_, **__: iter([gone, folder / "lamp.txt"]))
    report = library.add(folder)
    assert names(report.added) == ["lamp.txt"]
    assert report.skipped == [(str(gone), f"{gone} does not exist; check the path")]


def test_a_name_that_is_no_utf8(library: DocumentLibrary, folder: Path) -> None:
    (folder / "caf\udce9.txt").write_text("Coffee.")
    report = library.add(folder)
    ((uri, reason),) = report.skipped
    assert uri.encode() and "caf\\udce9.txt has a name that is not UTF-8" in reason
    assert len(report.added) == 3


def test_an_unreadable_new_version_leaves_the_old_one(library: DocumentLibrary, folder: Path) -> None:
    library.add(folder)
    (folder / "lamp.txt").write_bytes(b"")
    assert names([uri for uri, _ in library.add(folder, sync=True).skipped]) == ["lamp.txt"]
    assert "1823" in library.readable().document(str(folder / "lamp.txt")).text


def test_nothing_to_read(library: DocumentLibrary, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "picture.png").write_bytes(b"\x89PNG")
    with pytest.raises(BadRequest, match="empty: no files to read"):
        library.add(tmp_path / "empty")
    with pytest.raises(BadRequest, match="the given paths: no files to read"):
        library.add([])
    assert not library.path.exists(), "no store is made for nothing"


def test_missing_path_changes_nothing(library: DocumentLibrary, folder: Path) -> None:
    with pytest.raises(NotFound, match="nowhere does not exist"):
        library.add([folder, folder / "nowhere"])
    assert not library.path.exists()


def test_progress_counts_files_passages_and_what_is_stored(
    library: DocumentLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_indexing, "AT_ONCE", 2)
    steps: list[IndexProgress] = []
    library.add(folder, progress=steps.append)
    assert (steps[-1].files, steps[-1].of, steps[-1].passages, steps[-1].added) == (3, 3, 3, 3)
    assert [step.added for step in steps if step.files == 2][-1] == 2, "a full batch is stored at once"
    assert all(a.passages <= b.passages and a.files <= b.files for a, b in pairwise(steps))


def test_a_large_document_tells_of_its_parts(library: DocumentLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_indexing, "AT_ONCE", 2)
    steps: list[IndexProgress] = []
    text = "\n\n".join(f"# Part {number}\n\nIt says {number}." for number in range(7))
    report = library.add(documents=[load_stdin(text, "long.md")], progress=steps.append)
    assert report.passages == 7 and {2, 4, 6, 7} <= {step.passages for step in steps}
    assert {step.added for step in steps if step.passages < 7} == {0}, "a document is stored whole"


def test_cancelling_keeps_what_was_stored(library: DocumentLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_indexing, "AT_ONCE", 1)
    request = Request.new()
    with pytest.raises(Cancelled):
        library.add(folder, request=request, progress=lambda step: request.cancel() if step.added == 2 else None)
    assert names(library.readable().uris()) == ["lamp.txt", "tea.md"]
    report = library.add(folder)
    assert names(report.added) == ["bees.txt"] and len(report.unchanged) == 2


def test_absent_and_empty_stores(library: DocumentLibrary, folder: Path) -> None:
    with pytest.raises(NotFound, match="there is no store at"):
        library.search("lamp")
    with pytest.raises(NotFound, match="there is no store at"):
        library.writable(make=False)
    library.add(folder)
    for uri in library.readable().uris():
        library.writable().remove(uri)
    with pytest.raises(NotFound, match=r"is empty; add documents first: mmgen rag add PATH --store "):
        library.search("lamp")


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        (" ", {}, "query is empty"),
        ("lamp", {"k": 0}, "k is 0; it can be 1 to 1000"),
        ("lamp", {"k": 2000, "rerank": "mmr"}, "k is 2000"),
        ("lamp", {"method": "magic"}, "method is 'magic'"),
        ("lamp", {"where": ["lang"]}, "filter 'lang' cannot be understood"),
    ],
)
def test_bad_searches(library: DocumentLibrary, folder: Path, query: str, options: dict[str, Any], message: str) -> None:
    library.add(folder)
    with pytest.raises(BadRequest, match=message):
        library.search(query, **options)


def test_rerankers_come_from_the_registry(library: DocumentLibrary, folder: Path) -> None:
    library.add(folder)
    assert len(library.search("lamp tea bees", k=2, rerank="mmr")) == 2
    with pytest.raises(NotFound, match='no reranker "mmmr" \\(did you mean "mmr"'):
        library.search("lamp", rerank="mmmr")


def test_the_index_is_kept_with_the_store(library: DocumentLibrary, folder: Path) -> None:
    library.add(folder, index="hnsw")
    assert (library.path / "vectors.faiss").is_file(), "built at once"
    library.close()
    for _ in range(2):
        assert library.search("lamp", k=3) and library.readable()._index.kind == "hnsw"
        library.add(documents=[load_stdin("More.", "more.txt")])
        library.close()
    library.add(folder, index="auto")
    assert library.readable()._index.kind == "flat"


@pytest.mark.parametrize("index", ["flat", "ivfpq", "shards", "shards:3"])
def test_any_index_holds_few_passages(library: DocumentLibrary, folder: Path, index: str) -> None:
    library.add(folder, index=index)
    assert {Path(hit.uri).name for hit in library.search("lamp", k=3)} == {"lamp.txt", "tea.md", "bees.txt"}


def test_unknown_index(library: DocumentLibrary, folder: Path) -> None:
    with pytest.raises(BadRequest, match=r"index 'hnws' is unknown \(did you mean \"hnsw\"\?\)"):
        library.add(folder, index="hnws")
    assert not library.path.exists()


def test_the_cache_is_not_written_for_nothing(library: DocumentLibrary, folder: Path) -> None:
    library.add(folder)
    library.search("lamp")
    library.close()
    stamp = (library.path / "vectors.faiss").stat().st_mtime_ns
    library.search("lamp")
    library.close()
    assert (library.path / "vectors.faiss").stat().st_mtime_ns == stamp


def test_a_store_keeps_to_its_encoder(tiny_runtime: Runtime, library: DocumentLibrary, folder: Path, tmp_path: Path) -> None:
    library.add(folder)
    library.close()
    from tiny_models import make_encoder

    other = make_encoder(tmp_path / "other", seed=2)
    with pytest.raises(StoreError, match="was filled by "):
        DocumentLibrary.open(tiny_runtime, library.path, encoder=str(other)).add(folder)
    config = tiny_runtime.config.model_copy(update={"encoder": str(other)})
    with Runtime(config) as rt:  # whose default is another encoder: the store's own is taken
        again = DocumentLibrary.open(rt, library.path)
        (folder / "new.txt").write_text("New.")
        assert names(again.add(folder).added) == ["new.txt"]
        again.close()


def test_a_plugin_reads_its_format_and_its_fault_is_one_files(
    tiny_runtime: Runtime, library: DocumentLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = Registry("odd")
    plugin.loaders.add("rot", f"{__name__}:read_rot")
    monkeypatch.setattr(tiny_runtime.registry, "loaders", plugin.loaders)
    (folder / "good.rot").write_text("Gur ynzc")
    (folder / "bad.rot").write_text("bad")
    report = library.add(folder)
    assert "good.rot" in names(report.added)
    assert library.readable().document(str(folder / "good.rot")).text == "The lamp"
    ((_, reason),) = report.skipped
    assert reason.endswith("bad.rot could not be read by the loader 'rot' (ZeroDivisionError: division by zero)")


def read_rot(path: Path, data: bytes) -> tuple[str, tuple[int, ...], dict[str, Any]]:
    import codecs

    assert 1 / (data != b"bad")
    return codecs.decode(data.decode(), "rot13"), (), {}


def test_threads_add_and_search_at_once(library: DocumentLibrary, folder: Path) -> None:
    library.add(folder)
    base = load_stdin("Nothing yet.", "base.txt")
    faults: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(8):
                text = f"The lamp of thread {number} in turn {turn}."
                library.add(documents=[replace(base, uri=f"t{number}", text=text, content_hash=text)])
                assert library.search(f"lamp thread {number}", k=8)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert [library.readable().document(f"t{n}").text for n in range(4)] == [
        f"The lamp of thread {n} in turn 7." for n in range(4)
    ]


def test_a_request_that_was_left_reads_no_more(library: DocumentLibrary, folder: Path) -> None:
    request = Request.new(priority="batch")
    with pytest.raises(Cancelled):
        library.add(folder, request=request, progress=lambda _: request.leave())
    assert library.readable().empty()


def test_equal_files_are_stored_once_with_all_their_names(library: DocumentLibrary, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    for name in ("drill.txt", "drill (1).txt", "old/drill.txt", "other.txt", "drill.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("The drill is in May." if "drill" in name else "The pump is in the hall.")
    report = library.add(folder)
    assert names(report.added) == ["drill (1).txt", "drill.md", "other.txt"] and report.passages == 3
    assert [(Path(uri).name, Path(of).name) for uri, of in report.copies] == [("drill.txt", "drill (1).txt")] * 2
    assert "2 copies of others" in str(report) and len(library.add(folder).unchanged) == 5
    (hit, _) = library.search("drill", k=2)
    assert len(hit.copies) == 3, "equal texts of another format count as well"
    (folder / "drill (1).txt").write_text("The drill is in June.")
    (folder / "new.txt").write_text("The drill is in May.")
    report = library.add(folder)
    assert names(report.added) == ["drill (1).txt"] and names([uri for uri, _ in report.copies]) == ["new.txt"]
    (folder / "drill.txt").unlink()
    assert names(library.add(folder, sync=True).removed) == ["drill.txt"]
    assert library.readable().document(str(folder / "old/drill.txt")).text == "The drill is in May."


def test_scanned_pages_are_told_one_by_one_and_forgotten_once_they_are_stored(
    tiny_runtime: Runtime, library: DocumentLibrary, tmp_path: Path
) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf_of(*[lines("The rent is 1,150 euros.")] * 3))
    steps: list[IndexProgress] = []
    library.add(tmp_path / "a.pdf", progress=steps.append)
    assert [(step.page, step.pages) for step in steps if step.pages] == [(0, 3), (1, 3), (2, 3)]
    kept = tiny_runtime.home / "recognized" / "abc.jsonl"
    kept.parent.mkdir()
    kept.write_text("[]")
    document = replace(load_stdin("The rent.", "b.txt"), content_hash="abc", metadata={"recognized_pages": "page 1"})
    library.add(documents=[document])
    assert not kept.exists()


def test_images_are_documents_where_it_is_asked_for(
    library: DocumentLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photographed("a line", size=(60, 40)).save(folder / "photo.png")
    monkeypatch.setattr(recognition, "is_installed", lambda: False)
    with pytest.raises(BadRequest, match=r"ocr needs a recogniser, which is not installed; pip install 'mmgen\[ocr\]'"):
        library.add(folder, ocr=True)
    monkeypatch.setattr(recognition, "is_installed", lambda: True)
    monkeypatch.setattr(image_text, "loaders", lambda: {"png": lambda *_: ("The rent is 1,150 euros.", (0,), {})})
    assert "photo.png" in names(library.add(folder, ocr=True).added)
    assert library.search("rent 1,150", method="bm25")[0].passage.page == 1


def test_office_files_that_are_bad_cost_themselves_alone(library: DocumentLibrary, tmp_path: Path) -> None:
    """What is left out by choice is told beside what is missing."""
    remark = f'<w:comment w:id="0" w:author="Ann">{paragraph("Check the deposit.")}</w:comment>'
    good = word('<w:p><w:r><w:t>Deposit: 900 euros.</w:t><w:commentReference w:id="0"/></w:r></w:p>', comments=remark)
    bad = {"cut.docx": good[:-300], "locked.xlsx": compound({"EncryptedPackage": b"x"}), "no.pptx": b"%PDF-1.4", "no.eml": b"x"}
    for name, data in {**bad, "good.docx": good, "part.docx": word(f"{paragraph('Pier 4.')}<w:altChunk/>")}.items():
        (tmp_path / name).write_bytes(data)
    report = library.add(tmp_path)
    assert names(report.added) == ["good.docx", "part.docx"]
    assert sorted(names([path for path, _ in report.skipped])) == sorted(bad)
    assert [(Path(uri).name, what) for uri, what in report.partial] == [("part.docx", "1 embedded documents")]
    assert [(Path(uri).name, what) for uri, what in report.unread_parts] == [("good.docx", "1 comments")]
    (tmp_path / "good.docx").write_bytes(word(paragraph("More.") + "<w:p/>", comments=remark))
    assert not library.add(tmp_path, comments=True).unread_parts


def test_a_language_that_is_given_counts_and_another_one_is_a_change(library: DocumentLibrary, tmp_path: Path) -> None:
    (tmp_path / "haus.txt").write_text("Die Häuser stehen am Fluss.")
    library.add([tmp_path / "haus.txt"], language="sv")
    kept = {Path(one.uri).name: one.language for one in library.readable().documents()}
    assert kept["haus.txt"] == "sv" and library.add([tmp_path / "haus.txt"]).unchanged
    assert library.add([tmp_path / "haus.txt"], language="de-AT").added and library.search("haus", method="bm25")
    assert library.search("Fluss", where=["language=de"]) and not library.search("Fluss", where=["language=sv"])
    with pytest.raises(BadRequest, match="is no code of a language"):
        library.add([tmp_path / "haus.txt"], language="Deutsch!")


def test_a_client_that_leaves_ends_the_extraction(
    library: DocumentLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "OURS", ("mmgen.ingest.", "hostile_"))
    monkeypatch.setitem(loaders.LOADERS, "hang", ("text", hostile_extractors.hangs))
    (folder / "z.hang").write_text("It never ends.")
    request = Request.new()
    threading.Timer(0.3, request.leave).start()
    with pytest.raises(Cancelled):
        library.add(folder, request=request)
    assert not any(worker.ended for worker in pool.pool.idle)
