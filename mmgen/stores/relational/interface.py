"""What a relational database brings to a store: statements, transactions, vector search and word search.

Statements are written once, in the SQL that SQLite and PostgreSQL share, with `?` for parameters. Where the two differ the
database says how.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from mmgen.interfaces import Scalar
from mmgen.stores.metadata_filter import MetadataCondition

Where = Mapping[str, Scalar] | Sequence[MetadataCondition | str] | None
WordSearch = Callable[[str, int, Sequence[MetadataCondition], str], dict[int, float]]
"""(query, depth, conditions, table) -> id in the table: BM25 (Robertson and Zaragoza 2009), higher is better, best first; at
most `depth`."""


class Transaction(Protocol):
    """The connection of an open transaction. What `execute` gives has `fetchone`, `fetchall` and `rowcount`."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any: ...
    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any: ...


class RelationalDatabase(Protocol):
    """Any number of threads read while one writes; every read sees whole transactions."""

    @property
    def name(self) -> str: ...  # of the store, for people; without a password
    @property
    def closed(self) -> bool: ...
    @property
    def outdated(self) -> bool: ...  # of a format without terms, and not to be converted now
    @property
    def among(self) -> str: ...  # SQL after a column: whether it is in the JSON list of numbers that is the next parameter
    def all(self, sql: str, parameters: Sequence[Any] = ...) -> list[Any]: ...
    def one(self, sql: str, parameters: Sequence[Any] = ...) -> Any: ...  # the first row, or None
    def transaction(self) -> AbstractContextManager[Transaction]: ...  # all is stored durably when it ends, or nothing
    def insert(self, connection: Transaction, sql: str, parameters: Sequence[Any]) -> int: ...  # -> the new row's id
    def vector(self, vector: np.ndarray) -> Any: ...  # (D,) float32 as a parameter
    def has_table(self, name: str) -> bool: ...
    def conditions(self, where: Mapping[str, Scalar] | Sequence[str | MetadataCondition]) -> list[MetadataCondition]: ...
    def within(self, conditions: Sequence[MetadataCondition], column: str, table: str) -> tuple[str, list[Scalar]]: ...
    def close(self) -> None: ...


class VectorSearch(Protocol):
    """Inner products over the column `vector` of a table."""

    asked: str  # the index that the store is to have: auto, flat, hnsw, ivf-pq, shards, shards:N

    @property
    def kind(self) -> str: ...  # of the index in use, or of the one that would be built
    def search(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]: ...  # (Q, D) -> scores, ids: (Q, K)
    def nearest(
        self, vector: np.ndarray, k: int, conditions: Sequence[MetadataCondition]
    ) -> dict[int, float]: ...  # (D,) -> id: score, best first
    def vectors(self, ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]: ...  # those that are there, growing: (N,), (N, D)
    def check(self, asked: str) -> None: ...  # BadRequest for an index that cannot be
    def rebuild_if_due(self) -> None: ...
    def close(self) -> None: ...
