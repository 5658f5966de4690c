"""BM25 search with SQLite FTS5, in the languages of the documents."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmgen.stores.database import Database
from mmgen.stores.lexical import query as lexical_query
from mmgen.stores.lexical.query import MOST_TERMS, STOP_WORDS
from mmgen.stores.metadata_filter import MetadataCondition
from mmgen.stores.schema import WORD_INDEX_OF


def bm25(
    database: Database,
    query: str,
    depth: int,
    conditions: Sequence[MetadataCondition],
    table: str = "passages",
) -> dict[int, float]:
    """Passage, or image -> BM25 (Robertson and Zaragoza 2009), higher is better, best first; at most `depth`."""
    words = WORD_INDEX_OF[table]
    if database.outdated:
        expression = old_match(query)
    else:
        languages = [code for (code,) in database.all("SELECT DISTINCT language FROM documents")]
        expression = lexical_query.parsed(query, languages, lambda term: _holds(database, words, term)).fts5()
    if not expression:
        return {}
    clause, parameters = database.within(conditions, "rowid", table)
    sql = f"SELECT rowid, -rank FROM {words} WHERE {words} MATCH ? {clause} ORDER BY rank LIMIT ?"
    return dict(database.all(sql, (expression, *parameters, depth)))


def _holds(database: Database, words: str, term: str) -> bool:
    return database.one(f"SELECT 1 FROM {words} WHERE {words} MATCH ? LIMIT 1", (f'terms : "{term}"',)) is not None


def old_match(query: str) -> str:
    """The expression for a store of format 2 or 1, whose words FTS5 made itself: what cannot be converted is still read."""
    terms = list(dict.fromkeys(re.findall(r"\w+", query.lower())))
    terms = [term for term in terms if term not in STOP_WORDS] or terms
    return " OR ".join(f'"{term}"' for term in terms[:MOST_TERMS])
