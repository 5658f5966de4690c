from pathlib import Path

import pytest

from mmgen.errors import NotFound
from mmgen.ingest.walk import files


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
    assert names(tree, include=["docs/**"]) == ["docs/c.md", "docs/deep/d.txt"]
    assert names(tree, exclude=["docs"]) == ["a.txt", "b.md"]
    assert names(tree, exclude=["*.md"]) == ["a.txt", "docs/deep/d.txt"]
    assert ".hidden.md" in names(tree, hidden=True)


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
