"""Small weights that a store's feedback taught a model: kept in its database, gone with the store. Knows no model.

The table is made with the first row, so that stores of earlier releases stay readable, to those too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mmgen.stores.relational.interface import RelationalDatabase

TABLE = """
CREATE TABLE IF NOT EXISTS adapters (
    kind TEXT PRIMARY KEY, base TEXT NOT NULL, base_digest TEXT NOT NULL, facts TEXT NOT NULL, weights BLOB NOT NULL,
    made_at TEXT NOT NULL DEFAULT (datetime('now')))
"""


@dataclass(frozen=True)
class StoreAdapter:
    """Of one kind a store has one."""

    kind: str  # reader or encoder
    base: str  # the model's reference, without a precision
    base_digest: str  # sha256 of its weights, as weight_files.digest makes it
    weights: bytes = field(repr=False)  # a safetensors file
    facts: Mapping[str, Any] = field(default_factory=dict)  # how it was made and measured
    made_at: str = ""  # UTC

    @cached_property
    def name(self) -> str:
        """For people, and for recipes: another one for other weights."""
        return f"{self.kind}-{hashlib.sha256(self.weights).hexdigest()[:8]}"


class AdapterTable:
    """Of one store."""

    def __init__(self, database: RelationalDatabase) -> None:
        self._database = database

    def get(self, kind: str) -> StoreAdapter | None:
        if not self._database.has_table("adapters"):
            return None
        row = self._database.one("SELECT base, base_digest, weights, facts, made_at FROM adapters WHERE kind = ?", (kind,))
        return None if row is None else StoreAdapter(kind, row[0], row[1], bytes(row[2]), json.loads(row[3]), row[4])

    def put(self, adapter: StoreAdapter) -> None:
        """In place of the one before."""
        missing = not self._database.has_table("adapters")
        values = (adapter.kind, adapter.base, adapter.base_digest, json.dumps(dict(adapter.facts)), adapter.weights)
        with self._database.transaction() as connection:
            if missing:
                connection.execute(TABLE)
            connection.execute("DELETE FROM adapters WHERE kind = ?", (adapter.kind,))
            connection.execute("INSERT INTO adapters(kind, base, base_digest, facts, weights) VALUES (?, ?, ?, ?, ?)", values)

    def remove(self, kind: str) -> bool:
        """Whether there was one."""
        if not self._database.has_table("adapters"):
            return False
        with self._database.transaction() as connection:
            return bool(connection.execute("DELETE FROM adapters WHERE kind = ?", (kind,)).rowcount)
