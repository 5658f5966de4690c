"""Vector search by pgvector: exact while a store is small, then by an HNSW index, which the server keeps in step by itself."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmgen.errors import BadRequest
from mmgen.stores import faiss_index
from mmgen.stores.metadata_filter import MetadataCondition

if TYPE_CHECKING:
    from mmgen.stores.postgres.database import PostgresDatabase

log = logging.getLogger(__name__)

FLAT_UNTIL = 20_000
"""Vectors up to which every one is compared: tens of milliseconds at 384 dimensions."""
EXACT_UNTIL = 5_000  # rows left by a filter that are compared one by one
MOST_DIMENSIONS = 2_000
"""That pgvector's HNSW takes."""
LINKS, EF_CONSTRUCTION = 16, 80  # HNSW (Malkov and Yashunin 2018)


class PostgresVectors:
    """Inner products over the column `vector` of a table."""

    def __init__(self, database: PostgresDatabase, table: str, dimension: int, asked: str) -> None:
        self.database, self.table, self.dimension, self.asked = database, table, dimension, asked
        self.index = f"{table}_by_vector"
        self.indexed = f"(vector::vector({dimension}))"  # only this very expression uses the index

    @property
    def kind(self) -> str:
        """Of the index in use."""
        return "flat" if self._valid() is not True else "hnsw"

    def search(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """(Q, D) -> scores (Q, K) and ids (Q, K), best first, -1 where there are fewer; K <= k."""
        found = [self._ordered(vector, self.indexed, "", (), k) for vector in vectors]
        most = max(map(len, found), default=0)
        scores, ids = np.zeros((len(found), most), np.float32), np.full((len(found), most), -1, np.int64)
        for row, rows in enumerate(found):
            ids[row, : len(rows)] = [number for number, _ in rows]
            scores[row, : len(rows)] = [score for _, score in rows]
        return scores, ids

    def nearest(self, vector: np.ndarray, k: int, conditions: Sequence[MetadataCondition] = ()) -> dict[int, float]:
        """The `k` nearest to (D,) of fitting documents and their scores, best first."""
        clause, parameters = self.database.within(conditions, "id", self.table)
        few = f"SELECT count(*) FROM (SELECT 1 FROM {self.table} WHERE true {clause} LIMIT {EXACT_UNTIL + 1}) AS found"
        exact = bool(conditions) and self.database.one(few, parameters)[0] <= EXACT_UNTIL
        return dict(self._ordered(vector, "vector" if exact else self.indexed, clause, parameters, k))

    def vectors(self, ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Those of the ids that are there, growing: (N,) and their vectors (N, D)."""
        sql = f"SELECT id, vector FROM {self.table} WHERE id {self.database.among} ORDER BY id"
        rows = self.database.all(sql, (json.dumps(list(ids)),), binary=True)
        found = np.array([vector.to_numpy() for _, vector in rows], np.float32).reshape(len(rows), self.dimension)
        return np.array([number for number, _ in rows], np.int64), found

    def check(self, asked: str) -> None:
        """Raises BadRequest for an index that pgvector has not, or not for so many dimensions."""
        faiss_index.choose(0, asked)
        if asked not in ("auto", "flat", "hnsw"):
            raise BadRequest(f"store {self.database.name} is on PostgreSQL, which has no {asked}; it can be auto, flat or hnsw")
        if asked == "hnsw" and self.dimension > MOST_DIMENSIONS:
            raise BadRequest(
                f"vectors have {self.dimension} dimensions, pgvector's hnsw takes {MOST_DIMENSIONS:,}; it can be flat"
            )

    def rebuild_if_due(self) -> None:
        """Makes or drops the index, as the store's size or what was asked for has it now. Others read and write meanwhile."""
        wanted, valid = self._wanted(), self._valid()
        if valid is not None and not (valid and wanted == "hnsw"):
            self.database.run(f"DROP INDEX CONCURRENTLY IF EXISTS {self.index}")
        if wanted == "hnsw" and not valid:
            log.info("building an hnsw index over %s of store %s", self.table, self.database.name)
            options = f"m = {LINKS}, ef_construction = {EF_CONSTRUCTION}"
            self.database.run(
                f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {self.index} ON {self.table} "
                f"USING hnsw ({self.indexed} vector_ip_ops) WITH ({options})"
            )
            self.database.run(f"ANALYZE {self.table}")

    def close(self) -> None:
        """After writes, builds the index that is due."""
        if self.database.wrote and self._wanted() == "hnsw" and not self._valid():
            self.rebuild_if_due()

    def _wanted(self) -> str:
        if self.asked != "auto":
            return self.asked
        many = self.database.one(f"SELECT entries FROM {self.table}_totals")[0] > FLAT_UNTIL
        return "hnsw" if many and self.dimension <= MOST_DIMENSIONS else "flat"

    def _valid(self) -> bool | None:
        """Whether the index is whole; None where there is none."""
        row = self.database.one(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(?)", (f'"{self.database.schema}".{self.index}',)
        )
        return None if row is None else bool(row[0])

    def _ordered(
        self, vector: np.ndarray, column: str, clause: str, parameters: Sequence[Any], k: int
    ) -> list[tuple[int, float]]:
        """(id, inner product), best first."""
        sql = f"SELECT id, -({column} <#> ?) FROM {self.table} WHERE true {clause} ORDER BY {column} <#> ?, id LIMIT ?"
        if column != "vector":
            sql = f"SELECT id, -({column} <#> ?) FROM {self.table} WHERE true {clause} ORDER BY {column} <#> ? LIMIT ?"
        query = self.database.vector(vector)
        return self.database.all(sql, (query, *parameters, query, k))
