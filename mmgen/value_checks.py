"""Limits of what a caller says, told in one line: the value, the limit, the remedy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mmgen.errors import BadRequest, TooLong

MAX_TEXT_CHARS = 5000
MAX_SEED = 2**63 - 1
PIECE = 2**16
"""Characters of a text whose tokens are counted at once."""


def length(text: Any, what: str, most: int = MAX_TEXT_CHARS) -> None:
    """Raises BadRequest for what is no text or no Unicode, TooLong for more than `most` characters."""
    if not isinstance(text, str):
        raise BadRequest(f"the {what} is {text!r}; it should be a text")
    if len(text) > most:
        raise TooLong(f"the {what} is {len(text):,} characters; {most:,} are read at most, shorten it")
    try:
        text.encode()
    except UnicodeEncodeError as why:
        raise BadRequest(f"the {what} is no Unicode at character {why.start}; write it as UTF-8") from None


def tokens(text: str, what: str, most: int, count: Callable[[str], int], check: Callable[[], None] = lambda: None) -> None:
    """Raises TooLong for a text of more than `most` tokens without reading much more of it than that.

    A tokenizer takes seconds for megabytes and cannot be stopped, so that longer texts are counted by pieces that end between
    two words; each of these ends may be two tokens more than the whole text has.

    Args:
        count: a piece's tokens.
        check: called between two pieces; raises where nobody waits any more.
    """
    if len(text) <= PIECE:
        return
    found, at, pieces = 0, 0, 0
    while at < len(text):
        check()
        end = min(at + PIECE, len(text))
        end = text.rfind(" ", at + PIECE // 2, end) if end < len(text) else end
        end = at + PIECE if end < 0 else end
        found, pieces, at = found + count(text[at:end]), pieces + 1, end
        if found - 2 * pieces > most:
            raise TooLong(
                f"{what} is {len(text):,} characters, more than {most:,} tokens, all that the model reads; shorten it"
            )


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
