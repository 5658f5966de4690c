"""Bounds of lists and objects in request bodies, checked before their items are: each costs time, and a wrong one an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

MOST_MESSAGES = 4096
MOST_PARTS = 256  # of a message
MOST_TOOLS = 128
MOST_BIASES = 1024
MOST_STOPS = 64
MOST_VARIABLES = 64  # of a chat template
MOST_METADATA = 256
MOST_ITEMS = 10_000  # of a list or object that a pipeline takes
MOST_IDS = 2**17  # tokens of a text


def entries(most: int) -> Any:
    """Of an object: pydantic's own max_length is looked at after all entries were."""

    def few(given: Any) -> Any:
        if isinstance(given, Mapping) and len(given) > most:
            raise ValueError(f"{len(given):,} entries are more than {most:,}; give fewer")
        return given

    return BeforeValidator(few, json_schema_input_type=Any)


def items(kind: type) -> Any:
    """Of a list: the first that is of another kind ends it, where pydantic would make an error of each."""

    def alike(given: Any) -> Any:
        if isinstance(given, list) and (wrong := next((one for one in given if type(one) is not kind), None)) is not None:
            raise ValueError(f"an item is a {type(wrong).__name__}, each should be a {kind.__name__}")
        return given

    return BeforeValidator(alike, json_schema_input_type=Any)


Ids = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1, max_length=MOST_IDS), items(int)]
"""A text as its tokens' ids."""
