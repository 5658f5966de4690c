"""A store follows its folder: what is new, changed, moved, removed."""

from pathlib import Path

import pytest

from mmgen.library.document_library import DocumentLibrary
from mmgen.library.folder_watch import watch
from mmgen.runtime import Runtime


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    (folder / "old").mkdir(parents=True)
    (folder / "lamp.txt").write_text("The lamp was lit in 1823.")
    (folder / "old/bees.txt").write_text("Bees dance.")
    return folder


def names(uris: list[str]) -> list[str]:
    return [Path(uri).name for uri in uris]


def test_a_store_follows_its_folder(tiny_runtime: Runtime, folder: Path) -> None:
    library = DocumentLibrary.open(tiny_runtime, folder / "store")
    reports = watch(library, [folder], debounce_ms=100)
    assert names(next(reports).added) == ["lamp.txt", "bees.txt"]
    (folder / "tea.md").write_text("Tea is a leaf.")
    assert names(next(reports).added) == ["tea.md"]
    number = library.readable().id_of(str(folder / "lamp.txt"))
    (folder / "lamp.txt").rename(folder / "light.txt")
    (moved,) = next(reports).moved
    assert names(list(moved)) == ["lamp.txt", "light.txt"]
    assert library.readable().id_of(str(folder / "light.txt")) == number, "nothing is embedded anew"
    (folder / "old").rename(folder / "new")
    report = next(reports)
    assert [names(list(pair)) for pair in report.moved] == [["bees.txt", "bees.txt"]] and "1 moved" in str(report)
    (folder / "light.txt").unlink()
    assert names(next(reports).removed) == ["light.txt"]
    (folder / ".mmgenignore").write_text("tea.md\n")
    (folder / "rose.txt").write_text("A rose.")
    report = next(reports)
    assert names(report.added) == ["rose.txt"] and len(report.ignored) == 1
    assert names(library.readable().uris()) == ["bees.txt", "rose.txt", "tea.md"], "what is ignored later stays: it is there"
    library.close()
