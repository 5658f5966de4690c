"""Limits of what a caller says, told in one line: the value, the limit, the remedy."""

from __future__ import annotations

import math
from typing import Any

from mmgen.errors import BadRequest, TooLong

MAX_TEXT_CHARS = 5000
MAX_SEED = 2**63 - 1


def length(text: Any, what: str, most: int = MAX_TEXT_CHARS) -> None:
    """Raises BadRequest for what is no text, TooLong for more than `most` characters."""
    if not isinstance(text, str):
        raise BadRequest(f"the {what} is {text!r}; it should be a text")
    if len(text) > most:
        raise TooLong(f"the {what} is {len(text):,} characters; {most:,} are read at most, shorten it")


def number(
    name: str, value: Any, least: float, most: float, said: str = "", *, above: bool = False, whole: bool = False
) -> None:
    """Raises BadRequest for what is no number from `least` to `most`, as nan and infinity are not; None is no value.

    `above`: `least` itself is too little. `whole`: fractions are out. `said`: how the error tells the limits.
    """
    if value is None:
        return
    kind = int if whole else int | float
    fits = isinstance(value, kind) and not isinstance(value, bool)
    if not (fits and (least < value if above else least <= value) and value <= most and value < math.inf):
        limits = said or f"{'above ' * above}{least}" + (" or more" if most == math.inf else f" to {most}")
        raise BadRequest(f"{name} is {value!r}; it can be {limits}")
