"""Metadata filters: `lang=en`, `year>=2020` to SQL with parameters. Knows keys and operators; never writes a value into SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmgen.errors import BadRequest
from mmgen.interfaces import Scalar

CONDITION = re.compile(r"\s*([\w.-]+)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL)
COLUMNS = {"uri": "documents.uri", "kind": "documents.kind"}  # filters work on these too


@dataclass(frozen=True)
class Condition:
    """One comparison of a metadata key with a value."""

    key: str
    operator: str
    value: Scalar

    def sql(self) -> tuple[str, tuple[Scalar, ...]]:
        """An expression over `documents` and its parameters."""
        path = f'$."{self.key}"'
        column, parameters = "json_extract(documents.metadata, ?)", (path,)
        if self.key in COLUMNS:
            column = f"coalesce({column}, {COLUMNS[self.key]})"
        operator = {"=": "IS", "!=": "IS NOT"}.get(self.operator, self.operator)
        return f"{column} {operator} ?", (*parameters, self.value)


def parse(texts: Sequence[str] | Mapping[str, Scalar]) -> list[Condition]:
    """`["lang=en", "year>=2020"]` or `{"lang": "en"}` as conditions that must all hold; BadRequest for anything else."""
    if isinstance(texts, Mapping):
        for key in texts:
            if not re.fullmatch(r"[\w.-]+", key):
                raise BadRequest(f"filter key {key!r} is unusable; keys are letters, digits, dots and dashes")
        return [Condition(key, "=", value) for key, value in texts.items()]
    out = []
    for text in [texts] if isinstance(texts, str) else texts:
        match = CONDITION.fullmatch(text)
        if not match:
            raise BadRequest(f"filter {text!r} cannot be understood; write name=value, with one of = != < <= > >=")
        out.append(Condition(match[1], match[2], value(match[3])))
    return out


def value(text: str) -> Scalar:
    """`2020` as a number, `true` as a boolean, anything else as it stands; quotes keep a text a text."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)
