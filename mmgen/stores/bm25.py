"""BM25 search with SQLite FTS5."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmgen.function_words import FUNCTION_WORDS
from mmgen.stores.database import Database
from mmgen.stores.metadata_filter import MetadataCondition, within

STOP_WORDS = FUNCTION_WORDS | {"s", "such", "t"}  # of "what's" and "don't" the index has s and t as words
MOST_TERMS = 256  # a pasted page is searched by its first words


def match(query: str) -> str:
    """An FTS5 expression that any of the query's words satisfies; its signs and operators are just words. "" for no word."""
    terms = list(dict.fromkeys(re.findall(r"\w+", query.lower())))
    terms = [term for term in terms if term not in STOP_WORDS] or terms
    return " OR ".join(f'"{term}"' for term in terms[:MOST_TERMS])


def bm25(
    database: Database,
    query: str,
    depth: int,
    conditions: Sequence[MetadataCondition],
    words: str = "words",
    table: str = "passages",
) -> dict[int, float]:
    """Passage -> BM25 (Robertson and Zaragoza 2009), higher is better, best first; at most `depth`.

    `words`: the full-text index of `table`.
    """
    expression = match(query)
    if not expression:
        return {}
    clause, parameters = within(conditions, "rowid", table)
    sql = f"SELECT rowid, -rank FROM {words} WHERE {words} MATCH ? {clause} ORDER BY rank LIMIT ?"
    return dict(database.all(sql, (expression, *parameters, depth)))
