"""History, conversations and batches of every user into another place, of whichever kind: a folder's to a server, and back."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mmgen.errors import BadRequest, NotFound
from mmgen.stores.batches import BatchStore
from mmgen.stores.conversations import Conversations
from mmgen.stores.history import History
from mmgen.stores.history_schema import RetentionPolicy
from mmgen.stores.postgres.address import parsed
from mmgen.stores.private.tables import Place

KEEP_ALL = RetentionPolicy(max_bytes=2**62, max_age_days=1e6, max_entries=2**62)
"""A copy deletes nothing: limits are applied by the next request that is kept there."""


@dataclass
class RecordCopy:
    """What was copied, and what was there already."""

    entries: int = 0  # of the history
    files: int = 0
    conversations: int = 0
    messages: int = 0
    uploads: int = 0  # files that were uploaded for batches
    batches: int = 0
    unchanged: int = 0  # entries, conversations, uploads and batches
    answered_now: int = 0  # batches that were left out, as somebody answers them

    def __str__(self) -> str:
        told = f"{self.entries} history entries copied ({self.files} files), "
        told += f"{self.conversations} conversations ({self.messages} messages), "
        told += f"{self.batches} batches ({self.uploads} uploads)"
        told += f"; {self.unchanged} were there already" if self.unchanged else ""
        left = "is answered now and was left out" if self.answered_now == 1 else "are answered now and were left out"
        return told + (f"; {self.answered_now} {left}, copy again when no server answers" if self.answered_now else "")


def copy(source: Place, target: Place) -> RecordCopy:
    """All that `source` holds, ids, owners and times as they are; what `target` holds besides stays. After a kill the same call
    goes on from there: each entry and each conversation is one transaction.

    A conversation that both hold is the one that was used last. Raises BadRequest where both are one place.
    """
    if _one(source) == _one(target):
        raise BadRequest(f"both have one history, {_one(source)}; name a store with another one")
    done = RecordCopy()
    with History(source, KEEP_ALL) as old, History(target, KEEP_ALL) as new:
        _copy_history(old, new, done)
    with closing(Conversations(source)) as had, closing(Conversations(target)) as has:
        for user, conversation in had.everyone():
            try:
                said = had.messages(user, conversation.id)
            except NotFound:  # deleted meanwhile
                continue
            if has.put(user, conversation, said):
                done.conversations += 1
                done.messages += len(said)
            else:
                done.unchanged += 1
    return done


def copy_batches(source: Place, target: Place, done: RecordCopy) -> None:
    """Uploads and batches, each with its lines and outcomes; whoever holds the target goes on with what has none.

    One that somebody answers now is left out: both would answer it. Each upload and each batch is one transaction.
    """
    with closing(BatchStore(source)) as old, closing(BatchStore(target)) as new:
        for user, file in old.all_files():
            if new.holds_file(file.id):
                done.unchanged += 1
                continue
            try:
                new.put_file(user, file, old.data(user, file.id))
            except NotFound:  # deleted meanwhile
                continue
            done.uploads += 1
        for batch in old.all_batches():
            if batch.ended is None and old.claimed(batch.id):
                done.answered_now += 1
            elif new.put(batch, old):
                done.batches += 1
            else:
                done.unchanged += 1


def _copy_history(source: History, target: History, done: RecordCopy) -> None:
    for user, entry in source.everyone():
        if target.holds(user, entry.id):
            done.unchanged += 1
            continue
        try:
            files = {file.name: source.read(user, entry.id, file.name) for file in entry.files}
        except NotFound:  # deleted meanwhile
            continue
        target.put(user, entry, files)
        done.entries += 1
        done.files += len(files)


def _one(place: Place) -> str:
    """Equal for one and the same place; may be shown."""
    if isinstance(place, Path):
        return str(place.resolve())
    address = parsed(place)
    return f"{address.shown} (schema {address.schema})"
