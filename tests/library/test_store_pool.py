from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mmgen.errors import BadRequest, Closed, NotFound
from mmgen.library.store_pool import StorePool

if TYPE_CHECKING:
    from mmgen.runtime import Runtime


@pytest.fixture
def shelf(tiny_runtime: "Runtime", tmp_path: Path) -> "StorePool":
    shelf = StorePool(tiny_runtime)
    shelf.make("books", None)
    return shelf


def test_a_store_is_opened_once(shelf: StorePool) -> None:
    with shelf.opened("books") as first, shelf.opened("books") as second:
        assert first is second and "books" in shelf.names()
    shelf.delete("books")


def test_who_uses_what_is_deleted_is_told_so(shelf: StorePool) -> None:
    with pytest.raises(Closed, match="store books was closed"), shelf.opened("books") as library:
        opened = library.readable()
        shelf.delete("books")
        opened.count()
    with pytest.raises(NotFound, match='no store "books"'), shelf.opened("books"):
        pass
    with pytest.raises(NotFound):
        shelf.delete("books")


def test_a_folder_that_is_no_store_is_left_alone(shelf: StorePool, tiny_runtime: "Runtime") -> None:
    shelf.delete("books")
    folder = tiny_runtime.home / "stores" / "papers"
    folder.mkdir()
    with pytest.raises(NotFound):
        shelf.delete("papers")
    assert folder.is_dir() and "papers" not in shelf.names()
    folder.rmdir()
    with pytest.raises(BadRequest, match="no name"):
        shelf.delete("..")
