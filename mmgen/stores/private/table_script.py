"""Statements that make small private tables, in SQLite's words and PostgreSQL's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TableScript:
    """The statements that make tables."""

    part: str  # on a server they are in a schema of their own, whose name ends so; "": in the address's schema
    sqlite: str  # CREATE ... IF NOT EXISTS statements
    postgres: str | None = None  # CREATE statements for a new schema; None: SQLite's, with PostgreSQL's types
    upgrades: tuple[str, ...] = ()  # PostgreSQL's statements that make tables of format n those of n + 1; the first are of 1
