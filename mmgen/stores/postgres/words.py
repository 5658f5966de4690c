"""BM25 over the postings of `tables.WORD_INDEX`: the formula, the terms and so the scores of SQLite's FTS5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmgen.stores.lexical.query import LexicalQuery, parsed
from mmgen.stores.metadata_filter import MetadataCondition
from mmgen.stores.schema import PART_WEIGHT

if TYPE_CHECKING:
    from mmgen.stores.postgres.database import PostgresDatabase

K1, B = 1.2, 0.75  # FTS5's
HITS = f"""
WITH totals AS (
    SELECT CAST(entries AS float8) AS entries, CAST(greatest(tokens, 1) AS float8) / greatest(entries, 1) AS mean
    FROM {{table}}_totals),
hits(phrase, id, frequency, length) AS (
    SELECT asked.n, w.id, CAST(w.count AS float8), w.length
    FROM unnest(CAST(? AS text[])) WITH ORDINALITY AS asked(term, n) JOIN {{table}}_words w ON w.term = asked.term
    UNION ALL
    SELECT -asked.n, w.id, CAST(sum(w.count) AS float8), w.length
    FROM unnest(CAST(? AS text[])) WITH ORDINALITY AS asked(term, n)
    JOIN {{table}}_words w ON w.term >= asked.term AND w.term < asked.term || chr(1114111) GROUP BY 1, 2, 4
    UNION ALL
    SELECT 1000000 + phrase, id, {PART_WEIGHT} * count(*), length FROM (
        SELECT asked.phrase, w.id, w.length, spot - asked.place AS start
        FROM unnest(CAST(? AS int[]), CAST(? AS int[]), CAST(? AS int[]), CAST(? AS text[]))
            AS asked(phrase, place, size, piece)
        JOIN {{table}}_pieces w ON w.piece = asked.piece CROSS JOIN unnest(w.positions) AS spot
        GROUP BY 1, 2, 3, 4 HAVING count(*) = min(asked.size)) AS found
    GROUP BY phrase, id, length),
weights AS (
    SELECT phrase, greatest(ln((entries - count(*) + 0.5) / (count(*) + 0.5)), 1e-6) AS idf
    FROM hits CROSS JOIN totals GROUP BY phrase, entries)
SELECT id, sum(idf * frequency * ({K1} + 1) / (frequency + {K1} * (1 - {B} + {B} * length / mean))) AS score
FROM hits JOIN weights USING (phrase) CROSS JOIN totals WHERE true {{clause}} GROUP BY id ORDER BY score DESC, id LIMIT ?
"""


def ranked(
    database: PostgresDatabase, query: str, depth: int, conditions: Sequence[MetadataCondition], table: str = "passages"
) -> dict[int, float]:
    """Passage, or image -> BM25 (Robertson and Zaragoza 2009), higher is better, best first; at most `depth`."""
    languages = [code for (code,) in database.all("SELECT DISTINCT language FROM documents")]
    asked = parsed(query, languages, lambda term: _holds(database, table, term))
    if not asked.terms:
        return {}
    clause, parameters = database.within(conditions, "id", table)
    return dict(database.all(HITS.format(table=table, clause=clause), (*_arrays(asked), *parameters, depth)))


def _arrays(asked: LexicalQuery) -> tuple[list[int] | list[str], ...]:
    """Terms; beginnings of terms; then of each piece its phrase, its place there, the phrase's length, and itself."""
    whole = [term for term, prefix in asked.terms if not prefix]
    begun = [term for term, prefix in asked.terms if prefix]
    pieces = [(n, at, len(one), piece) for n, one in enumerate(asked.phrases) for at, piece in enumerate(one)]
    columns = [list(column) for column in zip(*pieces, strict=True)] or [[], [], [], []]
    return whole, begun, *columns


def _holds(database: PostgresDatabase, table: str, term: str) -> bool:
    return database.one(f"SELECT 1 FROM {table}_words WHERE term = ? LIMIT 1", (term,)) is not None
