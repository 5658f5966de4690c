"""Further names of a document: files with the same bytes are stored once. A name that goes leaves the others."""

from __future__ import annotations

import json
from collections.abc import Iterable

from mmgen.interfaces import Document
from mmgen.stores.relational.interface import RelationalDatabase, Transaction

TABLE = (
    "CREATE TABLE IF NOT EXISTS copies (uri TEXT PRIMARY KEY, document_id INTEGER NOT NULL "
    "REFERENCES documents(id) ON DELETE CASCADE) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS copies_of ON copies(document_id)",
)
# The first name stands in `documents`. A store without copies has no such table: the release before has none in its stores.


class Copies:
    """The table of names beside those in `documents`."""

    def __init__(self, database: RelationalDatabase) -> None:
        self._database, self._there = database, False

    @property
    def there(self) -> bool:
        """Whether the store has the table."""
        self._there = self._there or self._database.has_table("copies")
        return self._there

    def names(self) -> list[str]:
        return [uri for (uri,) in self._database.all("SELECT uri FROM copies")] if self.there else []

    def of(self, documents: Iterable[int]) -> dict[int, tuple[str, ...]]:
        """Document -> its further names, in order."""
        found: dict[int, tuple[str, ...]] = {}
        if self.there:
            for number, uri in self._database.all(
                f"SELECT document_id, uri FROM copies WHERE document_id {self._database.among} ORDER BY uri",
                (json.dumps(sorted(set(documents))),),
            ):
                found[number] = (*found.get(number, ()), uri)
        return found

    def document(self, uri: str) -> int | None:
        """The document that has this as a further name."""
        row = self._database.one("SELECT document_id FROM copies WHERE uri = ?", (uri,)) if self.there else None
        return None if row is None else int(row[0])

    def alike(self, document: Document) -> str | None:
        """The first name of the stored document that is the same but for its name."""
        language = "''" if self._database.outdated else "language"
        rows = self._database.all(
            f"SELECT uri, metadata FROM documents WHERE content_hash = ? AND kind = ? AND text = ? AND ? IN ('', {language})",
            (document.content_hash, document.kind, document.text, document.language),
        )
        return next((str(uri) for uri, told in rows if json.loads(told) == dict(document.metadata)), None)

    def add_many(self, names: Iterable[tuple[str, str]]) -> None:
        """Further names, each with the first name of a document that is there. What a name stood for before goes."""
        missing = () if self.there else TABLE
        with self._database.transaction() as connection:
            for statement in missing:
                connection.execute(statement)
            for uri, of in names:
                release(connection, uri, copies=True)
                connection.execute("INSERT INTO copies SELECT ?, id FROM documents WHERE uri = ?", (uri, of))


def release(connection: Transaction, uri: str, copies: bool) -> bool:
    """Takes a name away, within a transaction; with its last name the document goes. Whether there was such a name.

    `copies`: whether the store has the table.
    """
    if copies and connection.execute("DELETE FROM copies WHERE uri = ?", (uri,)).rowcount:
        return True
    heir = (
        connection.execute(
            "SELECT copies.uri, document_id FROM copies JOIN documents d ON d.id = document_id WHERE d.uri = ? "
            "ORDER BY copies.uri LIMIT 1",
            (uri,),
        ).fetchone()
        if copies
        else None
    )
    if heir is None:
        return bool(connection.execute("DELETE FROM documents WHERE uri = ?", (uri,)).rowcount)
    connection.execute("DELETE FROM copies WHERE uri = ?", (heir[0],))
    connection.execute("UPDATE documents SET uri = ? WHERE id = ?", heir)
    return True
