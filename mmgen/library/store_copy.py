"""Copies the store of one handle into that of another, which is made with the same encoder where there is none."""

from __future__ import annotations

from mmgen.errors import BadRequest
from mmgen.library.store_handle import StoreHandle
from mmgen.stores.private import record_copying
from mmgen.stores.private.tables import Place
from mmgen.stores.relational import copying
from mmgen.stores.relational.documents import RelationalDocumentStore


def copy(source: StoreHandle, target: StoreHandle) -> copying.StoreCopy:
    """Raises BadRequest for one and the same store and for a plugin's, NotFound without a source, StoreError where the target
    was filled by another encoder."""
    if source.name == target.name:
        raise BadRequest(f"store {source.name} cannot be copied into itself; name another one")
    read = _ours(source, source.readable())
    return copying.copy(read, _ours(target, target.made(read.encoder, read.dimension, prompts=read.prompts)))


def copy_records(source: StoreHandle, target: StoreHandle) -> record_copying.RecordCopy:
    """Every user's history, conversations and batches: those at a server's address, or else those of the runtime's home.

    Raises BadRequest where both are the same.
    """
    done = record_copying.copy(_records(source, "history"), _records(target, "history"))
    record_copying.copy_batches(_records(source, "batches.db"), _records(target, "batches.db"), done)
    return done


def _records(handle: StoreHandle, name: str) -> Place:
    """On a server, or what has that name in the home."""
    return handle.address or handle.rt.config.history or handle.rt.home / name


def _ours(handle: StoreHandle, store: object) -> RelationalDocumentStore:
    if not isinstance(store, RelationalDocumentStore):
        raise BadRequest(f"store {handle.name} is a plugin's; only those of SQLite and PostgreSQL can be copied")
    return store
