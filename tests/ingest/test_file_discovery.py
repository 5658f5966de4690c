"""What is found in folders: what the patterns say, in order, once, and whatever the folder is like."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from mmgen.errors import BadRequest, NotFound
from mmgen.ingest.file_discovery import files


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.md", "a.txt", "docs/c.md", "docs/deep/d.txt", "photo.png", ".hidden.md", ".git/x.md", "node_modules/y.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return tmp_path


def names(tree: Path, **options: object) -> list[str]:
    return [str(path.relative_to(tree)) for path in files([tree], **options)]  # type: ignore[arg-type]


def test_sorted_and_without_what_is_never_text(tree: Path) -> None:
    assert names(tree) == ["a.txt", "b.md", "docs/c.md", "docs/deep/d.txt"]


def test_patterns(tree: Path) -> None:
    assert names(tree, include=["*.md"]) == ["b.md", "docs/c.md"]
    assert names(tree, include=["docs/**"]) == names(tree, include=["docs"]) == ["docs/c.md", "docs/deep/d.txt"]
    assert names(tree, include=["**/*.md"]) == ["b.md", "docs/c.md"]
    assert names(tree, include=["./docs/*.md"]) == names(tree, include=["docs/?.md"]) == ["docs/c.md"]
    assert names(tree, include=["*.md"], exclude=["/b.md"]) == ["docs/c.md"]
    assert names(tree, include=["[ab].*"]) == ["a.txt", "b.md"] and names(tree, include=["[!a-b].md"]) == ["docs/c.md"]
    assert names(tree, include=["*.png"]) == ["photo.png"]
    assert names(tree, exclude=["docs/deep/"]) == ["a.txt", "b.md", "docs/c.md"]
    assert names(tree, exclude=["docs"]) == ["a.txt", "b.md"]
    assert names(tree, exclude=["*.md"]) == ["a.txt", "docs/deep/d.txt"]
    assert names(tree, hidden=True) == [".hidden.md", "a.txt", "b.md", "docs/c.md", "docs/deep/d.txt"]
    with pytest.raises(BadRequest, match=r"pattern '\[z-a\]' cannot be understood"):
        files([tree], exclude=["[z-a]"])


def test_a_given_file_is_always_taken_and_once(tree: Path) -> None:
    assert list(files([tree / "photo.png", tree / "docs" / "c.md", tree / "docs"])) == [
        tree / "photo.png",
        tree / "docs/c.md",
        tree / "docs/deep/d.txt",
    ]


def test_a_loop_of_links_ends(tree: Path) -> None:
    (tree / "docs" / "loop").symlink_to(tree)
    assert names(tree) == ["a.txt", "b.md", "docs/c.md", "docs/deep/d.txt"]


def test_missing(tree: Path) -> None:
    with pytest.raises(NotFound, match=r"none does not exist; give a file or a folder"):
        files([tree, tree / "none"])
    with pytest.raises(NotFound):
        files([tree / ("x" * 300)])


def test_a_folder_that_cannot_be_listed_is_given_out(tree: Path) -> None:
    """Here it vanishes on the way, which also works for root."""
    found = files([tree])
    first = next(found)
    shutil.rmtree(tree / "docs")
    assert [first, *found] == [tree / "a.txt", tree / "b.md", tree / "docs"]


def test_files_of_a_folder_that_may_be_listed_but_not_entered_are_given_out(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a stand-in, as root may enter everything: a folder with mode r-- tells names, and no more."""
    real = os.stat

    def stat(path: str | Path, **options: bool) -> os.stat_result:
        if "docs/" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", stat)
    assert names(tree) == ["a.txt", "b.md", "docs/c.md", "docs/deep/d.txt"]
    assert list(files([tree / "docs" / "c.md"])) == [tree / "docs" / "c.md"]


def test_broken_links_are_passed_over(tree: Path) -> None:
    (tree / "broken.md").symlink_to(tree / "none")
    (tree / "circle.md").symlink_to(tree / "circle.md")
    (tree / "linked.md").symlink_to(tree.parent / "elsewhere.md")
    (tree.parent / "elsewhere.md").write_text("x")
    assert names(tree) == ["a.txt", "b.md", "linked.md", "docs/c.md", "docs/deep/d.txt"]


def test_what_is_hidden_or_holds_no_text_is_counted(tmp_path: Path) -> None:
    for name in ("a.md", ".env", ".cache/x.md", "b.png", "c/d.PNG", "e.zip", "node_modules/f.js", ".git/config", "g.bin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    unread = Counter[str]()
    assert [path.name for path in files([tmp_path], exclude=["g.*"], unread=unread)] == ["a.md"]
    assert +unread == Counter({"hidden": 2, "png": 2, "zip": 1, "node_modules/": 1})
    unread = Counter[str]()
    assert [path.name for path in files([tmp_path], include=["*.png"], unread=unread)] == ["b.png"] and not +unread
