"""Conversations with the assistant, per user: named, searched, branched at any message, exported, deleted.

A conversation is a list of messages, each a JSON object with a role and a content; replies also hold their steps, citations and
images. Limits: see `ConversationLimits`; beyond them the user's conversation that was not used for longest goes first.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from mmgen.errors import BadRequest, Clash, NotFound, TooLarge
from mmgen.stores.private import words as private_words
from mmgen.stores.private.table_script import TableScript
from mmgen.stores.private.tables import Place, opened

SQLITE = """
CREATE TABLE IF NOT EXISTS conversations (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, "user" TEXT NOT NULL, name TEXT NOT NULL,
    created REAL NOT NULL, updated REAL NOT NULL);
CREATE INDEX IF NOT EXISTS conversations_of ON conversations("user", updated);
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT, conversation INTEGER NOT NULL REFERENCES conversations(number) ON DELETE CASCADE,
    value TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS messages_of ON messages(conversation);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(
    text, content='messages', content_rowid='number', tokenize='porter unicode61 remove_diacritics 2');
CREATE TRIGGER IF NOT EXISTS message_added AFTER INSERT ON messages BEGIN
    INSERT INTO words(rowid, text) VALUES (new.number, new.text);
END;
CREATE TRIGGER IF NOT EXISTS message_removed AFTER DELETE ON messages BEGIN
    INSERT INTO words(words, rowid, text) VALUES ('delete', old.number, old.text);
END;
"""
POSTGRES = """
CREATE TABLE conversations (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL UNIQUE, "user" text NOT NULL, name text NOT NULL,
    created float8 NOT NULL, updated float8 NOT NULL);
CREATE INDEX conversations_of ON conversations("user", updated);
CREATE TABLE messages (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, conversation bigint NOT NULL REFERENCES conversations
    ON DELETE CASCADE, value text NOT NULL, text text NOT NULL);
CREATE INDEX messages_of ON messages(conversation);
"""
TABLES = TableScript("conversations", SQLITE, POSTGRES + private_words.POSTGRES.format(table="messages"))
LONGEST_NAME = 80
UNNAMED = "New chat"
BRANCH = re.compile(r" \(branch(?: \d+)?\)$")
COLUMNS = "id, name, created, updated"


@dataclass(frozen=True)
class ConversationLimits:
    """Of each user."""

    conversations: int = 1000
    message_bytes: int = 2**25
    total_bytes: int = 2**30


@dataclass(frozen=True)
class Conversation:
    """What is known of it without its messages."""

    id: str
    name: str
    created: float  # seconds since 1970
    updated: float


class Conversations:
    """Threads and processes may share it. A user sees their own; another's id is as unknown as one that never was."""

    def __init__(
        self, place: Place, limits: ConversationLimits | None = None, clock: Callable[[], float] | None = None
    ) -> None:
        """`place`: a folder, or the address of a PostgreSQL server. `clock`: seconds since 1970; default: the place's."""
        self._tables = opened(place / "conversations.db" if isinstance(place, Path) else place, TABLES)
        self.limits, self._clock = limits or ConversationLimits(), clock or self._tables.now

    def close(self) -> None:
        self._tables.close()

    def make(self, user: str, name: str = UNNAMED) -> Conversation:
        """A new one without messages."""
        now = self._clock()
        made = Conversation(secrets.token_hex(8), named(name), now, now)
        with self._tables.transaction() as connection:
            row = (made.id, user, made.name, now, now)
            connection.execute('INSERT INTO conversations(id, "user", name, created, updated) VALUES (?, ?, ?, ?, ?)', row)
            connection.execute(
                'DELETE FROM conversations WHERE "user" = ? AND number NOT IN '
                '(SELECT number FROM conversations WHERE "user" = ? ORDER BY updated DESC, number DESC LIMIT ?)',
                (user, user, self.limits.conversations),
            )
        return made

    def add(self, user: str, id: str, *messages: Mapping[str, Any]) -> None:
        """Messages at the end; the first of a user names a conversation that has no name. Raises NotFound, or TooLarge."""
        values = [json.dumps(message, ensure_ascii=False) for message in messages]
        for value in values:
            if len(value) > self.limits.message_bytes:
                raise TooLarge(f"a message has {len(value):,} characters, {self.limits.message_bytes:,} are kept; ask for less")
        number, name = self._row(user, id)
        said = next((text for one in messages if one.get("role") == "user" and (text := words(one).strip())), "")
        with self._tables.transaction() as connection:
            texts = [self._tables.searchable(words(message)) for message in messages]
            rows = [(number, value, text) for value, text in zip(values, texts, strict=True)]
            connection.executemany("INSERT INTO messages(conversation, value, text) VALUES (?, ?, ?)", rows)
            name = named(said) if name == UNNAMED and said else name
            connection.execute("UPDATE conversations SET updated = ?, name = ? WHERE number = ?", (self._clock(), name, number))
            self._make_room(connection, user, number)

    def messages(self, user: str, id: str) -> list[dict[str, Any]]:
        """Oldest first. Raises NotFound."""
        number, _ = self._row(user, id)
        found = self._tables.all("SELECT value FROM messages WHERE conversation = ? ORDER BY number", (number,))
        return [json.loads(value) for (value,) in found]

    def get(self, user: str, id: str) -> Conversation:
        """Raises NotFound."""
        row = self._tables.one(f'SELECT {COLUMNS} FROM conversations WHERE "user" = ? AND id = ?', (user, id))
        if row is None:
            raise _unknown(id)
        return Conversation(*row)

    def everyone(self) -> Iterator[tuple[str, Conversation]]:
        """Every user's, and whose they are, the first made first."""
        for user, *row in self._tables.all(f'SELECT "user", {COLUMNS} FROM conversations ORDER BY number'):
            yield user, Conversation(*row)

    def put(self, user: str, conversation: Conversation, said: Sequence[Mapping[str, Any]]) -> bool:
        """A conversation as another place holds it, id and times too, instead of one that was used before; False where the one
        that is here was used as late, and stays. Raises Clash where its id is another user's."""
        values = [json.dumps(message, ensure_ascii=False) for message in said]
        texts = [self._tables.searchable(words(message)) for message in said]
        about = (named(conversation.name), conversation.created, conversation.updated)
        with self._tables.transaction() as connection:
            sql = 'SELECT number, "user", updated FROM conversations WHERE id = ?'
            row = connection.execute(sql, (conversation.id,)).fetchone()
            if row is not None and row[1] != user:
                raise Clash(f"conversation {conversation.id} is another user's here; it cannot be kept twice")
            if row is not None and row[2] >= conversation.updated:
                return False
            if row is not None:
                connection.execute("DELETE FROM conversations WHERE number = ?", (row[0],))
            (number,) = connection.execute(
                'INSERT INTO conversations(id, "user", name, created, updated) VALUES (?, ?, ?, ?, ?) RETURNING number',
                (conversation.id, user, *about),
            ).fetchone()
            rows = [(number, value, text) for value, text in zip(values, texts, strict=True)]
            connection.executemany("INSERT INTO messages(conversation, value, text) VALUES (?, ?, ?)", rows)
        return True

    def found(self, user: str, q: str = "", limit: int = 100) -> list[Conversation]:
        """The user's, last used first; `q`: words that all stand in the name, or in one of the messages."""
        where, values = '"user" = ?', list[Any]([user])
        if terms := re.findall(r"\w+", q):
            said, sought = self._tables.matching(terms, prefixes=True)
            said = f"number IN (SELECT conversation FROM messages WHERE {said})"
            where += f" AND ({said} OR {' AND '.join(['lower(name) LIKE lower(?)'] * len(terms))})"
            values += [*sought, *(f"%{term}%" for term in terms)]
        sql = f"SELECT {COLUMNS} FROM conversations WHERE {where} ORDER BY updated DESC, number DESC LIMIT ?"
        return [Conversation(*row) for row in self._tables.all(sql, (*values, limit))]

    def rename(self, user: str, id: str, name: str) -> None:
        """Raises NotFound, or BadRequest for an empty name."""
        if not name.strip():
            raise BadRequest("the name is empty; give one, such as Holidays")
        number, _ = self._row(user, id)
        with self._tables.transaction() as connection:
            connection.execute("UPDATE conversations SET name = ? WHERE number = ?", (named(name), number))

    def replace_last(self, user: str, id: str, message: Mapping[str, Any]) -> None:
        """The last message is another one. Raises NotFound."""
        self.cut(user, id, len(self.messages(user, id)) - 1)
        self.add(user, id, message)

    def cut(self, user: str, id: str, count: int) -> None:
        """Only the first `count` messages stay. Raises NotFound."""
        number, _ = self._row(user, id)
        with self._tables.transaction() as connection:
            connection.execute(
                "DELETE FROM messages WHERE conversation = ? AND number NOT IN "
                "(SELECT number FROM messages WHERE conversation = ? ORDER BY number LIMIT ?)",
                (number, number, max(0, count)),
            )

    def branch(self, user: str, id: str, after: int) -> Conversation:
        """A new conversation with the first `after` messages of this one. Raises NotFound, or BadRequest for none."""
        said = self.messages(user, id)
        if not 1 <= after <= len(said):
            raise BadRequest(f"a branch after message {after} is not there; the conversation has {len(said)} messages")
        return self._branched(user, id, said[:after])

    def branch_before(self, user: str, id: str, number: int) -> Conversation:
        """A new conversation with what stands before a message, which is to be said otherwise. Raises as `branch` does."""
        said = self.messages(user, id)
        if not 1 <= number <= len(said):
            raise BadRequest(f"message {number} is not there; the conversation has {len(said)} messages")
        return self._branched(user, id, said[: number - 1])

    def _branched(self, user: str, id: str, said: Sequence[Mapping[str, Any]]) -> Conversation:
        taken = {name for (name,) in self._tables.all('SELECT name FROM conversations WHERE "user" = ?', (user,))}
        stem = BRANCH.sub("", self.get(user, id).name)[: LONGEST_NAME - 14]
        names = chain([f"{stem} (branch)"], (f"{stem} (branch {number})" for number in count(2)))
        made = self.make(user, next(name for name in names if name not in taken))
        self.add(user, made.id, *said)
        return self.get(user, made.id)

    def delete(self, user: str, id: str) -> None:
        """Raises NotFound."""
        number, _ = self._row(user, id)
        with self._tables.transaction() as connection:
            connection.execute("DELETE FROM conversations WHERE number = ?", (number,))

    def _row(self, user: str, id: str) -> tuple[int, str]:
        row = self._tables.one('SELECT number, name FROM conversations WHERE "user" = ? AND id = ?', (user, id))
        if row is None:
            raise _unknown(id)
        return int(row[0]), str(row[1])

    def _make_room(self, connection: Any, user: str, kept: int) -> None:
        """Deletes the user's oldest conversations beyond the limit of bytes, but for `kept`."""
        sql = 'SELECT sum(length(value)) FROM messages JOIN conversations c ON c.number = conversation WHERE "user" = ?'
        while (connection.execute(sql, (user,)).fetchone()[0] or 0) > self.limits.total_bytes:
            oldest = 'SELECT number FROM conversations WHERE "user" = ? AND number != ? ORDER BY updated, number LIMIT 1'
            if (row := connection.execute(oldest, (user, kept)).fetchone()) is None:
                return
            connection.execute("DELETE FROM conversations WHERE number = ?", row)


def words(message: Mapping[str, Any]) -> str:
    """A message's text, for the search."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))


def named(text: str) -> str:
    """A name of one line, without NULs, which PostgreSQL cannot keep."""
    line = " ".join(text.replace("\0", " ").split())
    return (line if len(line) <= LONGEST_NAME else f"{line[: LONGEST_NAME - 1]}\u2026") or UNNAMED


def as_markdown(conversation: Conversation, messages: Sequence[Mapping[str, Any]]) -> str:
    """For people: who said what, with steps and sources; images by their names."""
    lines = [f"# {conversation.name}", ""]
    for message in messages:
        lines += [f"## {'You' if message['role'] == 'user' else 'Assistant'}", "", words(message), ""]
        for step in message.get("steps") or ():
            lines.append(f"- {step['call']['tool']}: {step.get('error') or step.get('summary')}")
        for number, one in enumerate(message.get("citations") or (), 1):
            lines.append(f'- [{number}] "{one["quote"]}" - {Path(one["document"]).name}')
        lines += [f"- image: {one['name']}" for one in message.get("images") or ()]
        lines += [""] if lines[-1] else []
    return "\n".join(lines)


def as_json(conversation: Conversation, messages: Sequence[Mapping[str, Any]]) -> str:
    """For programs: all of it, images in base64."""
    return json.dumps({**vars(conversation), "messages": list(messages)}, ensure_ascii=False, indent=2)


def _unknown(id: str) -> NotFound:
    return NotFound(f'there is no conversation "{id[:40]}" (any more)')
