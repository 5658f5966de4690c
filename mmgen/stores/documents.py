"""The embedded document store: SQLite holds documents, passages, vectors and the full-text index; FAISS beside it is a cache.

A store is a folder with `store.sqlite` and the cache's file. What `add` returned survives a kill: a document is one
transaction. Any number of processes may read while one writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from mmgen.stores import bm25, schema
from mmgen.stores.database import Database
from mmgen.stores.faiss_index import choose
from mmgen.stores.relational.documents import DocumentSummary, RelationalDocumentStore
from mmgen.stores.relational.interface import Where
from mmgen.stores.vector_cache import VectorCache

__all__ = ["DocumentStore", "DocumentSummary", "Where"]

FILES = {"passages": "vectors.faiss", "pictures": "pictures.faiss"}
"""Of the caches, by the table whose vectors they hold."""


class DocumentStore(RelationalDocumentStore):
    """A folder. Threads search while one writes; other writers, of other processes too, wait for it."""

    def __init__(
        self,
        path: Path,
        *,
        encoder: str | None = None,
        dimension: int | None = None,
        readonly: bool = False,
        index: str = "auto",
        timeout: float = 5.0,
        prompts: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            path: the store's folder; made if it is not there, unless `readonly`.
            encoder, dimension: what the vectors come from; a store keeps to the encoder it was made with.
            index: flat, hnsw, ivf-pq, or shards, shards:N on disk; auto goes by what `use_index` chose, or else by size.
            timeout: seconds to wait for another writer.
            prompts: what the encoder writes before a "query" and a "document"; a store keeps to those it was made with.

        Raises:
            NotFound: `readonly` and no store there.
            StoreError: no store but something else, a newer format, another encoder, or not writable.
        """
        choose(0, index)  # an unknown name is told at once
        self.path, self.file, self.readonly = path, path / "store.sqlite", readonly
        database = Database(self.file, readonly, timeout)
        if not readonly and encoder and dimension:
            schema.create(self.file, encoder, dimension, timeout, prompts)
        database.upgrade()

        def vectors_of(table: str, dimension: int, kept: str) -> VectorCache:
            asked = kept if index == "auto" else index
            return VectorCache(database, path / FILES[table], dimension, asked, table, schema.REMOVED[table])

        super().__init__(database, partial(bm25.bm25, database), vectors_of)
        try:
            self.check_encoder(encoder, dimension)
        except BaseException:
            database.close()
            raise

    def __enter__(self) -> DocumentStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
