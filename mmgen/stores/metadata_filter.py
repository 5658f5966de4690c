"""Metadata filters such as `lang=en` or `year>=2020` as parametrised SQL; values never enter the SQL text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmgen.deprecated import tell
from mmgen.errors import BadRequest
from mmgen.interfaces import Scalar
from mmgen.stores.schema import IMAGE_KIND, SHOWN_KIND

CONDITION = re.compile(r"\s*([\w.-]+)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL)
NUMBER = re.compile(r"[+-]?(\d{1,18}|\d+\.\d*|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
COLUMNS = {"uri": "documents.uri", "kind": SHOWN_KIND}  # filters work on these too


@dataclass(frozen=True)
class MetadataCondition:
    """One comparison of a metadata key with a value."""

    key: str
    operator: str
    value: Scalar

    def sql(self) -> tuple[str, tuple[Scalar, ...]]:
        """An expression over `documents` and its parameters."""
        path = f'$."{self.key}"'
        column, parameters = "json_extract(documents.metadata, ?)", (path,)
        if self.key == "kind" and self.value == IMAGE_KIND:
            tell(f"the filter kind{self.operator}{IMAGE_KIND}", f"kind{self.operator}image")
            column = f"coalesce({column}, documents.kind)"
        elif self.key in COLUMNS:
            column = f"coalesce({column}, {COLUMNS[self.key]})"
        if self.operator in ("=", "!="):
            return f"{column} {'IS' if self.operator == '=' else 'IS NOT'} ?", (*parameters, self.value)
        # to SQLite every text is larger than every number
        same = f"(typeof({column}) = 'text') = {int(isinstance(self.value, str))}"
        return f"{same} AND {column} {self.operator} ?", (*parameters, *parameters, self.value)


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
        out.append(MetadataCondition(match[1], match[2], value(match[3])))
    return out


def value(text: str) -> Scalar:
    """`2020` as a number, `true` as a boolean, anything else as it stands; quotes keep a text a text."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    if NUMBER.fullmatch(text):
        return float(text) if set(text) & set(".eE") else int(text)
    return {"true": True, "false": False}.get(text.lower(), text)


def within(conditions: Sequence[MetadataCondition], column: str, table: str = "passages") -> tuple[str, list[Scalar]]:
    """`AND column IN (passages, or images, of fitting documents)`, or nothing."""
    if not conditions:
        return "", []
    parts = [condition.sql() for condition in conditions]
    sql = " AND ".join(expression for expression, _ in parts)
    inner = f"SELECT {table}.id FROM {table} JOIN documents ON documents.id = {table}.document_id WHERE {sql}"
    return f"AND {column} IN ({inner})", [value for _, values in parts for value in values]
