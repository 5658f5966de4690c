"""Files of history entries, such as images: in a folder, or in a table that machines share.

In a folder a file has a random name that only the database knows: names that callers give are never paths. Rows follow their
files in the transaction: whoever kills the process leaves whole entries, and at most files that no row names, which the next
start removes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from mmgen.errors import StoreError
from mmgen.stores.private.tables import PrivateTables


class EntryFiles(Protocol):
    """Contents by the random name that the table `files` has."""

    def write(self, connection: Any, file: str, content: bytes) -> None: ...  # inside the entry's transaction
    def read(self, file: str) -> bytes | None: ...  # None where it was deleted meanwhile
    def remove(self, files: Iterable[str]) -> None: ...  # after the rows are gone
    def tidy(self, connection: Any) -> None: ...  # removes what no row names


class FolderFiles:
    """Readable by their owner alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as why:
            raise self._disorder(why) from None

    def write(self, connection: Any, file: str, content: bytes) -> None:
        try:
            with os.fdopen(os.open(self.folder / file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as out:
                out.write(content)
        except OSError as why:
            raise StoreError(f"history {self.folder} cannot be written ({why.strerror}); make room") from None

    def read(self, file: str) -> bytes | None:
        try:
            return (self.folder / file).read_bytes()
        except FileNotFoundError:  # deleted meanwhile, by another process
            return None

    def remove(self, files: Iterable[str]) -> None:
        for file in files:
            (self.folder / file).unlink(missing_ok=True)

    def tidy(self, connection: Any) -> None:
        """While this holds the turn to write, nobody's entry is half written: a file that no row names is left over."""
        named = {file for (file,) in connection.execute("SELECT file FROM files")}
        try:
            self.remove(path.name for path in self.folder.iterdir() if path.name not in named)
        except OSError as why:
            raise self._disorder(why) from None

    def _disorder(self, why: OSError) -> StoreError:
        return StoreError(f"history {self.folder.parent} cannot be put in order ({why.strerror}); check its permissions")


class TableFiles:
    """Rows of the table `contents`, which go with those of `files`."""

    def __init__(self, tables: PrivateTables) -> None:
        self._tables = tables

    def write(self, connection: Any, file: str, content: bytes) -> None:
        connection.execute("INSERT INTO contents VALUES (?, ?)", (file, content))

    def read(self, file: str) -> bytes | None:
        row = self._tables.one("SELECT data FROM contents WHERE file = ?", (file,))
        return None if row is None else bytes(row[0])

    def remove(self, files: Iterable[str]) -> None:
        """They went with their rows."""

    def tidy(self, connection: Any) -> None:
        """Nothing is ever left over."""
