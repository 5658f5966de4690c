"""Stores of older releases: converted when they are opened, whole or not at all, and read where they cannot be written."""

import logging
import sqlite3
from pathlib import Path

import numpy as np
import old_stores
import pytest

from mmgen.errors import BadRequest
from mmgen.stores import migration, schema
from mmgen.stores.documents import DocumentStore

TEXTS = {
    "/zh.md": "图书馆翻新工程的总预算为三百二十万元。",
    "/fr.txt": "L'impôt foncier est dû en octobre.",
    "/en.txt": "The lamps were lit.",
}


@pytest.fixture(params=[1, 2])
def old(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    old_stores.make(tmp_path / "s", request.param, TEXTS)
    return tmp_path / "s"


def found(store: DocumentStore, words: str) -> list[str]:
    return [hit.uri for hit in store.search(words, method="bm25")]


def version(path: Path) -> int:
    with sqlite3.connect(path / "store.sqlite") as connection:
        (number,) = connection.execute("PRAGMA user_version").fetchone()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    return int(number)


@pytest.mark.parametrize("readonly", [False, True])
def test_words_of_every_script_are_found_once_it_is_opened(old: Path, readonly: bool) -> None:
    with DocumentStore(old, readonly=readonly) as store:
        assert (
            found(store, "预算") == ["/zh.md"] and found(store, "impot") == ["/fr.txt"] and found(store, "lamp") == ["/en.txt"]
        )
        assert {one.uri: one.language for one in store.documents() if one.kind == "text"} == {
            "/zh.md": "zh", "/fr.txt": "fr", "/en.txt": "en",
        }  # fmt: skip
        if store.images is not None:
            assert [hit.uri for hit in store.images.search(np.full(8, 8**-0.5, np.float32), words_of="cups")] == ["/cup.png"]
    assert version(old) == schema.VERSION
    with DocumentStore(old) as store:
        assert store.remove("/zh.md") and found(store, "预算") == [] and found(store, "lamp") == ["/en.txt"]


def test_what_cannot_be_converted_is_read_as_it_is(
    old: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(migration, "_index_words", full)
    with caplog.at_level(logging.WARNING), DocumentStore(old, readonly=True) as store:
        assert "words are looked up as the release before did" in caplog.text
        assert found(store, "lamps") == ["/en.txt"] and store.documents()[0].language == ""
        assert store.document("/en.txt").text == "The lamps were lit."
        with pytest.raises(BadRequest, match="is of an older release and tells no languages; make it writable"):
            store.search("lamps", method="bm25", where=["language=en"])
        monkeypatch.undo()
        with DocumentStore(old) as other:  # another process converts it meanwhile
            assert found(other, "预算") == ["/zh.md"]
        assert found(store, "预算") == ["/zh.md"]


def test_a_kill_leaves_the_old_store(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = version(old)

    def killed(text: str, language: str) -> tuple[str, str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(migration.analyzer, "columns", killed)
    with pytest.raises(KeyboardInterrupt):
        DocumentStore(old)
    assert version(old) == before
    monkeypatch.undo()
    with DocumentStore(old) as store:
        assert found(store, "预算") == ["/zh.md"]


def test_a_process_of_the_release_before_that_goes_on_writing_is_refused(old: Path) -> None:
    writer = sqlite3.connect(old / "store.sqlite", isolation_level=None)
    DocumentStore(old).close()
    insert = "INSERT INTO passages(document_id, start, \"end\", heading, text, vector) VALUES (1, 0, 1, '', 'a', x'00')"
    with pytest.raises(sqlite3.IntegrityError, match="a newer mmgen has converted this store"):
        writer.execute(insert)
    writer.close()


def test_traditional_chinese_of_format_3_is_found_by_simplified_words(tmp_path: Path) -> None:
    old_stores.make(tmp_path / "s", 1, {"/tw.md": "圖書館翻新工程的總預算為三百二十萬元。", "/en.txt": "The lamps were lit."})
    with DocumentStore(tmp_path / "s") as store:
        assert found(store, "图书馆") == found(store, "圖書館") == ["/tw.md"]
    with sqlite3.connect(tmp_path / "s" / "store.sqlite") as connection:
        connection.execute("UPDATE passages SET terms = '圖書 書館 館' WHERE text LIKE '圖%'")
        connection.execute("UPDATE documents SET language = 'ja' WHERE uri = '/tw.md'")
        connection.execute("INSERT INTO words(words) VALUES ('rebuild')")
        connection.execute("PRAGMA user_version = 3")
    connection.close()
    with DocumentStore(tmp_path / "s") as store:
        assert found(store, "图书馆") == found(store, "總預算") == ["/tw.md"] and found(store, "lamp") == ["/en.txt"]
        assert {one.uri: one.language for one in store.documents()}["/tw.md"] == "ja"  # as it was said
    assert version(tmp_path / "s") == schema.VERSION


def test_long_work_is_told(old: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(migration, "TELL_EVERY", 0.0)
    with caplog.at_level(logging.WARNING):
        DocumentStore(old).close()
    assert "gets its word index: 2 of " in caplog.text
