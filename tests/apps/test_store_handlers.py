"""What the buttons beside a store do: documents in and out, stores made, watched and deleted, seen by other windows."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gradio as gr
import pytest
from pdf_files import lines, pdf_of

from apps.page_stores import PageStores
from apps.sessions import Pages
from apps.store_handlers import StoreHandlers
from mmgen.errors import BadRequest, Forbidden, NotFound
from mmgen.serve.context import Caller

if TYPE_CHECKING:
    from mmgen.runtime import Runtime

BROWSER: Any = SimpleNamespace(session_hash="me")


def still(*_: Any, **__: Any) -> None:
    """A progress bar that nobody sees."""


def key(**may: Any) -> Any:
    """The page of somebody with a key."""
    caller = Caller(user="ann", **may)
    return SimpleNamespace(session_hash="ann", request=SimpleNamespace(state=SimpleNamespace(caller=caller)))


@pytest.fixture
def stores(painter: "Runtime") -> Iterator[PageStores]:
    yield (made := PageStores(painter, None, local=True))
    made.pool.close()


@pytest.fixture
def handlers(stores: PageStores) -> StoreHandlers:
    return StoreHandlers(stores, Pages())


def add(handlers: StoreHandlers, store: str | None, *files: Path) -> tuple[Any, ...]:
    return handlers.add(store, list(map(str, files)), BROWSER, still)  # type: ignore[arg-type]


def test_documents_come_and_go_and_other_windows_learn_of_it(handlers: StoreHandlers, tmp_path: Path) -> None:
    (tmp_path / "hirta.md").write_text("The lamp of Hirta was lit in 1823.")
    (tmp_path / "mill.md").write_text("The mill was built in 1742.")
    _, _, before = handlers.shown(None, BROWSER)
    shelf, removing, version, cleared = add(handlers, None, tmp_path / "hirta.md", tmp_path / "mill.md")
    assert "2 documents added" in shelf and "hirta.md" in shelf and "1 passage<" in shelf and cleared is None
    assert handlers.changed(None, before, BROWSER)[2] == version and handlers.changed(None, version, BROWSER)[0] == gr.skip()
    (uri,) = (uri for name, uri in removing["choices"] if name == "mill.md")
    shelf, removing, _ = handlers.remove(None, [uri], BROWSER)
    assert "1 document removed" in shelf and [name for name, _ in removing["choices"]] == ["hirta.md"]


def test_a_copy_keeps_the_pages_of_both(handlers: StoreHandlers, tmp_path: Path) -> None:
    """Two files with the same bytes are one document, whose original is kept until its last name goes."""
    for name in ("mill.pdf", "copy.pdf"):
        (tmp_path / name).write_bytes(pdf_of(lines("The mill of Hirta was built by Greta Holm in 1742.")))
    add(handlers, None, tmp_path / "mill.pdf", tmp_path / "copy.pdf")
    library = handlers.stores.library(None, BROWSER)

    def kept() -> int:
        return sum(path.suffix == ".pdf" for path in library.path.rglob("*"))

    first, second = sorted(library.readable().uris())
    assert kept() == 1
    handlers.remove(None, [first], BROWSER)
    assert kept() == 1
    handlers.remove(None, [second], BROWSER)
    assert kept() == 0


def test_the_unreadable_are_told(handlers: StoreHandlers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", said.append)
    (tmp_path / "bad.pdf").write_bytes(b"\x00\x01")
    add(handlers, None, tmp_path / "bad.pdf")
    assert len(said) == 1 and "bad.pdf" in said[0]


def test_stores_are_made_and_deleted(handlers: StoreHandlers, tmp_path: Path) -> None:
    (tmp_path / "hirta.md").write_text("The lamp of Hirta was lit in 1823.")
    chosen, name = handlers.make(" notes ", BROWSER)
    assert chosen["value"] == "notes" and "notes" in chosen["choices"] and name == ""
    add(handlers, "notes", tmp_path / "hirta.md")
    with pytest.raises(gr.Error, match='there is a store "notes" already'):
        handlers.make("notes", BROWSER)
    with pytest.raises(gr.Error, match="say that you are sure"):
        handlers.delete("notes", False, BROWSER)
    chosen, sure = handlers.delete("notes", True, BROWSER)
    assert chosen["value"] == handlers.stores.default and "notes" not in chosen["choices"] and not sure
    with pytest.raises(gr.Error, match='there is no store "notes"'):
        handlers.shown("notes", BROWSER)


def test_a_folder_is_watched_until_it_is_not(handlers: StoreHandlers, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "hirta.md").write_text("The lamp of Hirta was lit in 1823.")
    told, button = handlers.watch(None, str(folder), BROWSER)
    assert str(folder) in told and button == "Stop watching"
    until = time.monotonic() + 60
    while not handlers.stores.documents(None, BROWSER) and time.monotonic() < until:
        time.sleep(0.05)
    assert [Path(one.uri).name for one in handlers.stores.documents(None, BROWSER)] == ["hirta.md"]
    told, button = handlers.watch(None, str(folder), BROWSER)
    assert told == "" and button == "Watch"
    while handlers.stores.watched(None) and time.monotonic() < until:
        time.sleep(0.05)
    assert not handlers.stores.watched(None)
    with pytest.raises(gr.Error, match="is no folder here"):
        handlers.watch(None, str(tmp_path / "nowhere"), BROWSER)


def test_a_key_sees_its_stores_alone_and_watches_nothing(painter: "Runtime", stores: PageStores) -> None:
    for name in ("ours", "theirs"):
        stores.make(name, BROWSER)
    served = PageStores(painter, "ours", local=False, pool=stores.pool)
    ann = key(stores=frozenset({"ours"}), scopes=frozenset({"stores"}))
    assert served.names(ann) == ["ours"]
    with pytest.raises(NotFound, match='there is no store "theirs"'):
        served.rag("theirs", ann)
    with pytest.raises(Forbidden, match="stores:write"):
        served.remove("ours", ["x"], ann)
    with pytest.raises(BadRequest, match="mmgen rag watch"):
        served.watch("ours", "/tmp", ann, print)
