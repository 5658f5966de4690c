"""A metadata condition in PostgreSQL's SQL; it means what `MetadataCondition.sql` means in SQLite's.

A value is a text, or a number (true and false are 1 and 0), each in an expression of its own, the other NULL.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmgen.interfaces import Scalar
from mmgen.stores.metadata_filter import MetadataCondition, instants

TEXT = "CASE WHEN jsonb_typeof({v}) = 'string' THEN {v} #>> '{{}}' END"
NUMBER = (
    "CASE jsonb_typeof({v}) WHEN 'number' THEN CAST({v} AS numeric) WHEN 'boolean' THEN CAST(CAST({v} AS boolean) AS int) END"
)


def condition_sql(condition: MetadataCondition) -> tuple[str, Sequence[Scalar]]:
    """An expression over `documents` and its parameters."""
    key = condition.key
    value = "(documents.facts -> CAST(? AS text))"
    text, keys = TEXT.format(v=value), [key] * 2
    number = NUMBER.format(v=value)
    if own := condition.column():
        text, keys = (
            f"CASE WHEN jsonb_typeof({value}) IN ('number', 'boolean') THEN NULL ELSE coalesce({text}, {own}) END",
            [key] * 3,
        )
    text = f'(({text}) COLLATE "C")'
    given, written, operator = condition.value, condition.written, condition.operator
    if written is not None and (span := instants(written)):
        return _dated(condition, text, keys, *span)
    if written is not None and not isinstance(given, str) and operator in ("=", "!="):
        same = f"CASE WHEN {text} IS NOT NULL THEN {text} = ? ELSE ({number}) IS NOT DISTINCT FROM CAST(? AS numeric) END"
        return f"{'NOT ' if operator == '!=' else ''}({same})", [*keys, *keys, written, *_number_keys(key), _exact(given)]
    distinct = {"=": "IS NOT DISTINCT FROM", "!=": "IS DISTINCT FROM"}.get(operator, operator)
    if isinstance(given, str):
        return f"{text} {distinct} CAST(? AS text)", [*keys, given]
    return f"({number}) {distinct} CAST(? AS numeric)", [*_number_keys(key), _exact(given)]


def _dated(
    condition: MetadataCondition, text: str, keys: Sequence[str], first: float, last: float
) -> tuple[str, Sequence[Scalar]]:
    """Compares with the instants from `first` to `last`; a text that is no date is compared as a text."""
    assert condition.written is not None
    when = f"instant({text})"
    bounds = {"<": ("<", first), "<=": ("<=", last), ">": (">", last), ">=": (">=", first)}
    operator, bound = bounds.get(condition.operator, ("", 0.0))
    dated = f"{when} {operator} ?" if operator else f"{when} BETWEEN ? AND ?"
    values: list[Scalar] = [*keys, bound] if operator else [*keys, first, last]
    same = f"CASE WHEN {when} IS NULL THEN {text} {operator or '='} ? ELSE {dated} END"
    return f"{'NOT ' if condition.operator == '!=' else ''}coalesce({same}, false)", [*keys, *keys, condition.written, *values]


def _number_keys(key: str) -> list[str]:
    return [key] * 3


def _exact(value: Scalar) -> str:
    """All digits of a number; a float of PostgreSQL would be rounded on its way to numeric."""
    return repr(int(value) if isinstance(value, bool) else value)
