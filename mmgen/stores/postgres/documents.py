"""The registry's store "postgres": documents, passages, words, vectors and images on a PostgreSQL server with pgvector."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from mmgen.stores.postgres import driver, tables
from mmgen.stores.postgres.address import parsed
from mmgen.stores.postgres.database import PostgresDatabase
from mmgen.stores.postgres.vectors import PostgresVectors
from mmgen.stores.postgres.words import ranked
from mmgen.stores.relational.documents import RelationalDocumentStore


class PostgresDocumentStore(RelationalDocumentStore):
    """Any number of processes and machines search while one writes; other writers wait for it."""

    addressed = True

    def __init__(
        self,
        address: str,
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
            address: see `address.parsed`.
            encoder, dimension: what the vectors come from; a store keeps to the encoder it was made with.
            index: flat or hnsw; auto goes by what `use_index` chose, or else by size.
            timeout: seconds to wait for another writer.
            prompts: what the encoder writes before a "query" and a "document"; a store keeps to those it was made with.

        Raises:
            NotFound: no store there and no encoder for a new one, or no such database, or psycopg is missing.
            StoreError: another encoder, a newer format, no pgvector, or the user may not; Unreachable where no server answers.
        """
        where = parsed(address)
        self.readonly = readonly
        if not readonly and encoder and dimension:
            with driver.connect(where) as connection:
                tables.create(connection, where, encoder, dimension, prompts or {})
        database = PostgresDatabase(where, readonly, timeout)
        try:
            database.open()

            def vectors_of(table: str, dimension: int, kept: str) -> PostgresVectors:
                made = PostgresVectors(database, table, dimension, kept if index == "auto" else index)
                made.check(made.asked)
                return made

            super().__init__(database, partial(ranked, database), vectors_of)
            self.check_encoder(encoder, dimension)
        except BaseException:
            database.close()
            raise

    def commits(self) -> int:
        """How often the store was written: another number after every change, whoever made it."""
        return int(self._database.one("SELECT value FROM meta WHERE key = 'commits'")[0])

    def __enter__(self) -> PostgresDocumentStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
