"""Files of entries in a folder: private, and without what no row names."""

import sqlite3
from pathlib import Path

import pytest

from mmgen.errors import StoreError
from mmgen.stores.private.entry_files import FolderFiles


def test_a_folder_is_tidied(tmp_path: Path) -> None:
    files = FolderFiles(tmp_path / "files")
    connection = sqlite3.connect(":memory:")
    connection.executescript("CREATE TABLE files (file TEXT); INSERT INTO files VALUES ('kept')")
    for name in ("kept", "left"):
        files.write(connection, name, b"x")
    files.tidy(connection)
    assert files.read("kept") == b"x" and files.read("left") is None
    assert (tmp_path / "files" / "kept").stat().st_mode & 0o077 == 0
    with pytest.raises(StoreError, match="make room"):
        files.write(connection, "kept", b"y")
    files.remove(["kept", "gone"])
    assert files.read("kept") is None
    connection.close()
    (tmp_path / "other").write_bytes(b"")
    with pytest.raises(StoreError, match="check its permissions"):
        FolderFiles(tmp_path / "other" / "files")
