"""What people said of a store's answers: right or wrong, and where the right one stands. It goes with its document.

The table is made with the first row, so that stores of earlier releases stay readable, to those too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mmgen.errors import BadRequest
from mmgen.stores.relational.interface import RelationalDatabase, Transaction

Verdict = Literal["right", "wrong"]
TABLE = """
CREATE TABLE IF NOT EXISTS feedback (
    id INTEGER PRIMARY KEY AUTOINCREMENT, document_id INTEGER REFERENCES documents(id) ON DELETE CASCADE,
    question TEXT NOT NULL, answer TEXT NOT NULL, verdict TEXT NOT NULL, span TEXT, start INTEGER NOT NULL,
    "end" INTEGER NOT NULL, given_at TEXT NOT NULL DEFAULT (datetime('now')), UNIQUE (question, answer))
"""
COLUMNS = 'question, answer, verdict, span, start, "end"'
HELD_OUT = 3
"""One question of so many is never learned from."""


@dataclass(frozen=True)
class Feedback:
    """A verdict on an answer. `start` and `end` are characters of the document's text: of the right span, or where none is told
    of the answer; equal where neither stands in a document."""

    question: str
    answer: str  # as it was given; empty: none, the documents were said not to have it
    verdict: Verdict
    span: str | None = None  # the right answer; empty: the documents have none; None: not told
    document: str = ""  # uri; empty: none
    start: int = 0
    end: int = 0
    id: int = 0
    given_at: str = ""  # UTC

    @property
    def held_out(self) -> bool:
        """Whether its question is one by which adapters are judged; the same always, so that none was learned from before."""
        return int(hashlib.sha256(" ".join(self.question.lower().split()).encode()).hexdigest(), 16) % HELD_OUT == 0


class FeedbackTable:
    """Of one store."""

    def __init__(self, database: RelationalDatabase) -> None:
        self._database = database

    @property
    def there(self) -> bool:
        """Whether the store has the table."""
        return self._database.has_table("feedback")

    def all(self) -> list[Feedback]:
        """In the order in which it was given."""
        if not self.there:
            return []
        rows = self._database.all(
            "SELECT f.question, f.answer, f.verdict, f.span, COALESCE(d.uri, ''), f.start, f.\"end\", f.id, f.given_at "
            "FROM feedback f LEFT JOIN documents d ON d.id = f.document_id ORDER BY f.id"
        )
        return [Feedback(*row) for row in rows]

    def add_many(self, given: Iterable[Feedback]) -> None:
        """In place of what was said before of the same answers to the same questions. What is of a document that is gone is
        left out."""
        missing = not self.there
        with self._database.transaction() as connection:
            if missing:
                connection.execute(TABLE)
            for one in given:
                row = connection.execute("SELECT id FROM documents WHERE uri = ?", (one.document,)).fetchone()
                if row is None and one.document:
                    continue
                _replace(connection, one, None if row is None else int(row[0]))
                if one.given_at:
                    connection.execute(
                        "UPDATE feedback SET given_at = ? WHERE question = ? AND answer = ?",
                        (one.given_at, one.question, one.answer),
                    )

    def remove(self, ids: Sequence[int]) -> int:
        """-> how many there were."""
        if not self.there:
            return 0
        with self._database.transaction() as connection:
            return sum(connection.execute("DELETE FROM feedback WHERE id = ?", (number,)).rowcount for number in ids)


def of(connection: Transaction, uri: str) -> list[Feedback]:
    """What was said of a document, within a transaction of a store that has the table."""
    rows = connection.execute(
        f"SELECT {COLUMNS}, given_at FROM feedback WHERE document_id = (SELECT id FROM documents WHERE uri = ?) ORDER BY id",
        (uri,),
    ).fetchall()
    return [
        Feedback(question, answer, verdict, span, uri, start, end, given_at=when)
        for question, answer, verdict, span, start, end, when in rows
    ]


def carry(connection: Transaction, given: Sequence[Feedback], document_id: int, before: str, text: str) -> None:
    """Keeps what was said of a document's older text where the words that it is about stand in the new one, once."""
    for one in given:
        words = before[one.start : one.end]
        if not words or text.count(words) != 1:
            continue
        start = text.index(words)
        values: Mapping[str, int] = {"start": start, "end": start + len(words)}
        _replace(connection, Feedback(**{**vars(one), **values}), document_id)
        connection.execute(
            "UPDATE feedback SET given_at = ? WHERE question = ? AND answer = ?", (one.given_at, one.question, one.answer)
        )


def _replace(connection: Transaction, one: Feedback, document_id: int | None) -> None:
    if one.verdict not in ("right", "wrong"):
        raise BadRequest(f"verdict is {one.verdict!r}; it can be right or wrong")
    connection.execute("DELETE FROM feedback WHERE question = ? AND answer = ?", (one.question, one.answer))
    connection.execute(
        f"INSERT INTO feedback(document_id, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (document_id, one.question, one.answer, one.verdict, one.span, one.start, one.end),
    )
