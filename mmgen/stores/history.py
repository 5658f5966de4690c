"""Request history per user: searchable, deletable, bounded in size and age.

All of an entry is written in one transaction, in files of a folder or on a PostgreSQL server. Images: `private.entry_files`.
"""

from __future__ import annotations

import json
import re
import secrets
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from mmgen.errors import BadRequest, Clash, NotFound
from mmgen.stores import redaction
from mmgen.stores.history_schema import COLUMNS, TABLES, HistoryEntry, HistoryFile, RetentionPolicy, entry
from mmgen.stores.private.entry_files import EntryFiles, FolderFiles, TableFiles
from mmgen.stores.private.tables import Place, opened

MOST = 1000
"""Entries of one page."""
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class History:
    """Threads and processes may share it. A user sees their own entries; another's id is as unknown as one that never was."""

    def __init__(self, place: Place, policy: RetentionPolicy | None = None, clock: Callable[[], float] | None = None) -> None:
        """`place`: a folder, or the address of a PostgreSQL server. `clock`: seconds since 1970; default: the place's."""
        self._tables = opened(place / "history.db" if isinstance(place, Path) else place, TABLES)
        self.policy, self._clock = policy or RetentionPolicy(), clock or self._tables.now
        try:
            self._files: EntryFiles = FolderFiles(place / "files") if isinstance(place, Path) else TableFiles(self._tables)
            with self._tables.transaction() as connection:
                self._files.tidy(connection)
        except BaseException:
            self._tables.close()
            raise

    def __enter__(self) -> History:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._tables.close()

    def add(
        self,
        user: str,
        request_id: str,
        kind: str,
        asked: Mapping[str, Any],
        result: Mapping[str, Any],
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        """Stores a finished call durably, unless it alone exceeds the retention limits.

        Of `asked` and `result` what `scrub.kept` leaves. `files`: name to bytes. Raises Clash for a request that is here.
        """
        if not ID.fullmatch(request_id):
            raise BadRequest(f"request id is {request_id!r}; it can have 1 to 64 letters, digits, dashes")
        kept = [redaction.kept(asked), redaction.kept(result)]
        self._store(user, request_id, kind, self._clock(), kept, {_plain(name): data for name, data in (files or {}).items()})

    def put(self, user: str, entry: HistoryEntry, files: Mapping[str, bytes]) -> None:
        """An entry as another history holds it, its time too. Raises as `add` does."""
        self._store(user, entry.id, entry.kind, entry.created, [entry.asked, entry.result], files)

    def holds(self, user: str, id: str) -> bool:
        """Whether the user has it."""
        return self._tables.one('SELECT 1 FROM entries WHERE "user" = ? AND id = ?', (user, id)) is not None

    def _store(
        self, user: str, request_id: str, kind: str, created: float, kept: Sequence[Any], data: Mapping[str, bytes]
    ) -> None:
        texts = (*(json.dumps(one) for one in kept), "\n".join(redaction.words(kept)))
        nbytes = sum(map(len, texts)) + sum(map(len, data.values()))
        places = {name: secrets.token_hex(16) for name in data}
        try:
            with self._tables.transaction() as connection:
                if connection.execute('SELECT 1 FROM entries WHERE "user" = ? AND id = ?', (user, request_id)).fetchone():
                    raise Clash(f"request {request_id} is in the history already")
                row = (user, request_id, kind, created, *texts[:2], self._tables.searchable(texts[2]), nbytes)
                (number,) = connection.execute(
                    'INSERT INTO entries("user", id, kind, created, asked, result, text, bytes) '
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING number",
                    row,
                ).fetchone()
                rows = [(number, name, places[name], len(content)) for name, content in data.items()]
                connection.executemany("INSERT INTO files VALUES (?, ?, ?, ?)", rows)
                for name, content in data.items():
                    self._files.write(connection, places[name], content)
                gone = self._over(connection)
        except BaseException:
            self._files.remove(places.values())
            raise
        self._files.remove(gone)

    def entries(
        self, user: str, q: str = "", kind: str | None = None, limit: int = 20, before: str | None = None
    ) -> list[HistoryEntry]:
        """A page of the user's entries, newest first.

        Args:
            q: words that must all stand in the request or its result.
            kind: only of this pipeline.
            limit: how many, 1 to 1,000.
            before: the id of the last entry of the page before.

        Raises BadRequest, or NotFound for a `before` that is gone.
        """
        if not 1 <= limit <= MOST:
            raise BadRequest(f"limit is {limit}; it can be 1 to {MOST}")
        where, values = '"user" = ?', list[Any]([user])
        if terms := re.findall(r"\w+", q):
            said, sought = self._tables.matching(terms)
            where, values = f"{where} AND {said}", [*values, *sought]
        elif q.strip():
            return []  # punctuation matches nothing
        if kind is not None:
            where, values = f"{where} AND kind = ?", [*values, kind]
        if before is not None:
            where, values = f"{where} AND number < ?", [*values, self._number(user, before)]
        sql = f"SELECT {COLUMNS} FROM entries WHERE {where} ORDER BY number DESC LIMIT ?"
        return self._entries(sql, (*values, limit))

    def get(self, user: str, id: str) -> HistoryEntry:
        """Raises NotFound."""
        found = self._entries(f'SELECT {COLUMNS} FROM entries WHERE "user" = ? AND id = ?', (user, id))
        if not found:
            raise _unknown(id)
        return found[0]

    def read(self, user: str, id: str, name: str) -> bytes:
        """A file of an entry. Raises NotFound."""
        sql = 'SELECT file FROM files JOIN entries ON number = entry WHERE "user" = ? AND id = ? AND name = ?'
        row = self._tables.one(sql, (user, id, name))
        if row is not None and (content := self._files.read(str(row[0]))) is not None:
            return content
        raise NotFound(f'request "{id}" has no file "{name}" in your history')

    def delete(self, user: str, id: str) -> None:
        """The entry and its files. Raises NotFound."""
        self._number(user, id)
        self._delete('"user" = ? AND id = ?', (user, id))

    def delete_all(self, user: str) -> int:
        """All that the user has -> how many entries there were."""
        return self._delete('"user" = ?', (user,))

    def export(self, user: str, to: IO[bytes]) -> int:
        """Writes a zip: history.jsonl with an entry a line, oldest first, and files/ID/NAME -> how many entries.

        A PNG holds its recipe, as always.
        """
        count, files = 0, []
        with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open("history.jsonl", "w", force_zip64=True) as lines:
                for one in self._each(user):
                    lines.write(json.dumps(one.to_dict()).encode() + b"\n")
                    files += [(one.id, file.name) for file in one.files]
                    count += 1
            for id, name in files:
                with suppress(NotFound):  # deleted meanwhile
                    archive.writestr(f"files/{id}/{name}", self.read(user, id, name), zipfile.ZIP_STORED)
        return count

    def everyone(self) -> Iterator[tuple[str, HistoryEntry]]:
        """Every user's entries, and whose they are, read by and by; of each the oldest first."""
        for (user,) in self._tables.all('SELECT "user" FROM usage ORDER BY "user"'):
            for one in self._each(user):
                yield user, one

    def _each(self, user: str) -> Iterator[HistoryEntry]:
        """Every entry, oldest first, read by and by."""
        last = 0
        sql = f'SELECT {COLUMNS} FROM entries WHERE "user" = ? AND number > ? ORDER BY number LIMIT 100'
        while rows := self._tables.all(sql, (user, last)):
            yield from self._with_files(rows)
            last = rows[-1][-1]

    def _entries(self, sql: str, values: Sequence[Any]) -> list[HistoryEntry]:
        """Of rows of COLUMNS, with their files."""
        return self._with_files(self._tables.all(sql, values))

    def _with_files(self, rows: Sequence[Sequence[Any]]) -> list[HistoryEntry]:
        numbers, files = [row[-1] for row in rows], defaultdict[int, list[HistoryFile]](list)
        among = f"({', '.join('?' * len(numbers))})"
        named = f"SELECT entry, name, bytes FROM files WHERE entry IN {among} ORDER BY entry, name"
        for number, name, size in self._tables.all(named, numbers) if rows else ():
            files[number].append(HistoryFile(name, size))
        return [entry(row, files[row[-1]]) for row in rows]

    def _number(self, user: str, id: str) -> int:
        row = self._tables.one('SELECT number FROM entries WHERE "user" = ? AND id = ?', (user, id))
        if row is None:
            raise _unknown(id)
        return int(row[0])

    def _delete(self, where: str, values: Sequence[Any]) -> int:
        with self._tables.transaction() as connection:
            count, gone = _taken(connection, where, values)
        self._files.remove(gone)
        return count

    def _over(self, connection: Any) -> list[str]:
        """Deletes entries beyond the retention limits -> their files."""
        _, gone = _taken(connection, "created < ?", (self._clock() - self.policy.max_age_days * 86400,))
        for column, most in (("entries", self.policy.max_entries), ("bytes", self.policy.max_bytes)):
            while (connection.execute(f"SELECT sum({column}) FROM usage").fetchone()[0] or 0) > most:
                (fullest,) = connection.execute(f'SELECT "user" FROM usage ORDER BY {column} DESC LIMIT 1').fetchone()
                _, files = _taken(connection, 'number = (SELECT min(number) FROM entries WHERE "user" = ?)', (fullest,))
                gone += files
        return gone


def _taken(connection: Any, where: str, values: Sequence[Any]) -> tuple[int, list[str]]:
    """Deletes entries -> their number, and the files to remove after the commit."""
    files = connection.execute(f"SELECT file FROM files JOIN entries ON number = entry WHERE {where}", values).fetchall()
    return connection.execute(f"DELETE FROM entries WHERE {where}", values).rowcount, [file for (file,) in files]


def _plain(name: str) -> str:
    """A name that is safe wherever a caller or a zip may put it."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)[-100:].lstrip(".") or "file"


def _unknown(id: str) -> NotFound:
    return NotFound(f'there is no request "{id}" in your history (any more)')
