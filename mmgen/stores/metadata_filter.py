"""Metadata filters such as `lang=en` or `year>=2020` as parametrised SQL; values never enter the SQL text.

A number in a filter is compared with numbers, and as it is written with texts: `zip=01067` and `year=2020` find what was
declared as a text too. Dates and times (ISO 8601) are compared as instants, whatever their zones; without a zone they are UTC,
and a date alone is its whole day. Quotes keep a text a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mmgen.deprecated import tell
from mmgen.errors import BadRequest
from mmgen.interfaces import Scalar
from mmgen.stores.schema import IMAGE_KIND, SHOWN_KIND

CONDITION = re.compile(r"\s*([\w.-]+)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL)
NUMBER = re.compile(r"-?(0|[1-9]\d{0,17}|(0|[1-9]\d*)\.\d*|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
"""What is written with leading zeros or a plus is a postcode, a part's or a telephone number: a text."""
DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:?\d\d\S*)?", re.ASCII)
COLUMNS = {"uri": "documents.uri", "kind": SHOWN_KIND, "language": "documents.language"}  # filters work on these too


@dataclass(frozen=True)
class MetadataCondition:
    """One comparison of a metadata key with a value."""

    key: str
    operator: str
    value: Scalar
    written: str | None = field(default=None, compare=False)  # as a user wrote it, without a type of its own

    def sql(self) -> tuple[str, tuple[Scalar, ...]]:
        """An expression over `documents` and its parameters."""
        path = f'$."{self.key}"'
        column, parameters = "json_extract(documents.metadata, ?)", (path,)
        if own := self.column():
            column = f"coalesce({column}, {own})"
        if self.written is not None and (span := instants(self.written)):
            return self._dated(column, parameters, *span)
        if self.written is not None and not isinstance(self.value, str) and self.operator in ("=", "!="):
            same = f"CASE typeof({column}) WHEN 'text' THEN {column} = ? ELSE {column} IS ? END"
            values = (*parameters, *parameters, self.written, *parameters, self.value)
            return f"{'NOT ' if self.operator == '!=' else ''}({same})", values
        if self.operator in ("=", "!="):
            return f"{column} {'IS' if self.operator == '=' else 'IS NOT'} ?", (*parameters, self.value)
        # to SQLite every text is larger than every number
        same = f"(typeof({column}) = 'text') = {int(isinstance(self.value, str))}"
        return f"{same} AND {column} {self.operator} ?", (*parameters, *parameters, self.value)

    def column(self) -> str:
        """SQL: the column of `documents` that counts where the metadata have no such key; "" for none."""
        if self.key == "kind" and self.value == IMAGE_KIND:
            tell(f"the filter kind{self.operator}{IMAGE_KIND}", f"kind{self.operator}image")
            return "documents.kind"
        return COLUMNS.get(self.key, "")

    def _dated(self, column: str, parameters: tuple[Scalar, ...], first: float, last: float) -> tuple[str, tuple[Scalar, ...]]:
        """Compares with the instants from `first` to `last`; a text that is no date is compared as a text."""
        assert self.written is not None
        when = f"instant({column})"
        operator, bound = {"<": ("<", first), "<=": ("<=", last), ">": (">", last), ">=": (">=", first)}.get(
            self.operator, ("", 0.0)
        )
        if operator:
            dated, values = f"{when} {operator} ?", (*parameters, bound)
        else:
            dated, values = f"{when} BETWEEN ? AND ?", (*parameters, first, last)
        equal = "=" if not operator else self.operator
        same = f"typeof({column}) = 'text' AND CASE WHEN {when} IS NULL THEN {column} {equal} ? ELSE {dated} END"
        negated = "NOT " if self.operator == "!=" else ""
        return f"{negated}coalesce({same}, 0)", (*parameters, *parameters, *parameters, self.written, *values)


def parse(texts: Mapping[str, Scalar] | Sequence[str | MetadataCondition]) -> list[MetadataCondition]:
    """`["lang=en", "year>=2020"]` or `{"lang": "en"}` as conditions that must all hold; BadRequest for anything else."""
    if isinstance(texts, Mapping):
        for key, wanted in texts.items():
            if not re.fullmatch(r"[\w.-]+", key):
                raise BadRequest(f"filter key {key!r} is unusable; keys are letters, digits, dots and dashes")
            if isinstance(wanted, int) and abs(wanted) >= 2**63:
                raise BadRequest(f"filter {key} is an integer of {wanted.bit_length()} bits; at most 63 can be compared")
        return [MetadataCondition(key, "=", value) for key, value in texts.items()]
    out = []
    for text in [texts] if isinstance(texts, str) else texts:
        if isinstance(text, MetadataCondition):
            out.append(text)
            continue
        match = CONDITION.fullmatch(text)
        if not match:
            raise BadRequest(f"filter {text!r} cannot be understood; write name=value, with one of = != < <= > >=")
        written = None if quoted(match[3]) else match[3]
        out.append(MetadataCondition(match[1], match[2], value(match[3]), written))
    return out


def value(text: str) -> Scalar:
    """`2020` as a number, `true` as a boolean, anything else as it stands; quotes keep a text a text."""
    if quoted(text):
        return text[1:-1]
    if NUMBER.fullmatch(text):
        return float(text) if set(text) & set(".eE") else int(text)
    return {"true": True, "false": False}.get(text.lower(), text)


def quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"


def instant(text: Any) -> float | None:
    """Seconds since 1970 of a date or time in ISO 8601, UTC where it has no zone; None for anything else. A function of SQL."""
    if not isinstance(text, str) or not DATE.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def instants(text: str) -> tuple[float, float] | None:
    """The first and the last instant that a filter's value means: of a date alone, those of its day."""
    first = instant(text)
    if first is None:
        return None
    return first, first + 86_400 - 1e-6 if len(text) == len("2024-05-01") else first


def within(
    conditions: Sequence[MetadataCondition],
    column: str,
    table: str = "passages",
    sql_of: Callable[[MetadataCondition], tuple[str, Sequence[Scalar]]] = MetadataCondition.sql,
) -> tuple[str, list[Scalar]]:
    """`AND column IN (passages, or images, of fitting documents)`, or nothing. `sql_of`: a condition in a database's SQL."""
    if not conditions:
        return "", []
    parts = [sql_of(condition) for condition in conditions]
    sql = " AND ".join(expression for expression, _ in parts)
    inner = f"SELECT {table}.id FROM {table} JOIN documents ON documents.id = {table}.document_id WHERE {sql}"
    return f"AND {column} IN ({inner})", [value for _, values in parts for value in values]
