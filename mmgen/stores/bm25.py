"""BM25 search with SQLite FTS5."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmgen.stores.database import Database
from mmgen.stores.metadata_filter import MetadataCondition, within

STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a about an and are as at be been but by can could did do does for from had has have how i if in into is it its may
        of on or our s should so such t than that the their them then there these they this to was we were what when where which
        who whom whose why will with would you your""",
    )
)
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
