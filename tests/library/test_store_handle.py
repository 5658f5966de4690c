"""Where a store lies, of which kind it is, and that a plugin's store is used like our own."""

from pathlib import Path
from typing import Any

import pytest

from mmgen.config import RuntimeConfig, load
from mmgen.errors import BadRequest, NotFound
from mmgen.library.document_library import DocumentLibrary
from mmgen.library.store_handle import StoreHandle, checked, locate
from mmgen.registry import Registry
from mmgen.runtime import Runtime
from mmgen.stores.documents import DocumentStore


class CountedStore(DocumentStore):
    """A plugin's store, which knows how often it was asked."""

    searches = 0

    def search(self, *asked: Any, **options: Any) -> Any:
        CountedStore.searches += 1
        return super().search(*asked, **options)


def register(mm: Registry) -> None:
    mm.stores.add("counted", f"{__name__}:CountedStore", "ours, counting")


@pytest.mark.parametrize("where", ["", " ", ".", "..", "a\0b", "documents://"])
def test_no_name_for_a_store(tiny_runtime: Runtime, where: str) -> None:
    with pytest.raises(BadRequest, match="is no name; give a name such as notes"):
        locate(tiny_runtime, where)


def test_where_a_store_is(tiny_runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = tiny_runtime.home / "stores"
    assert locate(tiny_runtime) == ("documents", stores / "default")
    assert locate(tiny_runtime, "notes") == locate(tiny_runtime, "documents://notes") == ("documents", stores / "notes")
    assert locate(tiny_runtime, "./notes") == locate(tiny_runtime, "documents://./notes") == ("documents", Path("notes"))
    assert locate(tiny_runtime, Path("notes")) == ("documents", Path("notes"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate(tiny_runtime, "~/notes") == ("documents", tmp_path / "notes")
    with Runtime(RuntimeConfig(home=tmp_path, store=Path("here"))) as rt:
        assert locate(rt) == ("documents", Path("here"))
    assert load({"store": "~/notes"}, RuntimeConfig).store == tmp_path / "notes"


def test_a_kind_that_nobody_brings(tiny_runtime: Runtime) -> None:
    with pytest.raises(NotFound, match=r'there is no store "documnts" \(did you mean "documents"\?\)'):
        locate(tiny_runtime, "documnts://notes")


def test_a_plugins_store(plug: Any, tiny_encoder: Path, tmp_path: Path) -> None:
    plug(counting=register)
    (tmp_path / "lamp.txt").write_text("The lamp was lit in 1823.")
    config = load({"home": tmp_path, "encoder": str(tiny_encoder), "store": "counted://notes"}, RuntimeConfig)
    with Runtime(config) as rt:
        assert locate(rt) == ("counted", tmp_path / "stores" / "notes")
        library = DocumentLibrary.open(rt)
        with pytest.raises(NotFound, match="there is no store at"):
            library.readable()
        library.add(tmp_path / "lamp.txt")
        assert isinstance(library.readable(), CountedStore)
        assert [Path(hit.uri).name for hit in library.search("lamp")] == ["lamp.txt"] and CountedStore.searches == 1
        library.writable().remove(str(tmp_path / "lamp.txt"))
        with pytest.raises(NotFound, match=r"store counted://.*notes is empty; .* --store counted://"):
            library.search("lamp")
        library.close()


def test_reading_and_writing_share_a_store_once_it_is_written(tiny_runtime: Runtime, tmp_path: Path) -> None:
    handle = StoreHandle(tiny_runtime, tmp_path / "store")
    with pytest.raises(NotFound, match="there is no store at"):
        handle.writable(make=False)
    made = handle.writable()
    assert handle.readable() is made is handle.writable() and made.encoder == tiny_runtime.encoder().name
    handle.close()
    reading = handle.readable()
    assert reading is not made and reading is handle.readable()
    handle.close()


def test_metadata_that_a_filter_finds() -> None:
    assert checked({"year": 1823, "lit": True}) == {"year": 1823, "lit": True}
    with pytest.raises(BadRequest, match="metadata year is nan; it can be a text, a finite number, true or false"):
        checked({"year": float("nan")})
