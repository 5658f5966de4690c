"""Numbers and texts out of their limits."""

import math
from typing import Any

import pytest

from mmgen import value_checks
from mmgen.errors import BadRequest, Cancelled, TooLong


@pytest.mark.parametrize("value", [None, 1, 2.5, 3])
def test_within(value: float | None) -> None:
    value_checks.number("k", value, 1, 3)


@pytest.mark.parametrize("value", [0, 3.1, math.nan, math.inf, True, "2"])
def test_out_of_range(value: Any) -> None:
    with pytest.raises(BadRequest, match=f"k is {value!r}; it can be 1 to 3"):
        value_checks.number("k", value, 1, 3)


def test_the_least_itself_can_be_out() -> None:
    with pytest.raises(BadRequest, match="k is 1; it can be more than 1"):
        value_checks.number("k", 1, 1, 3, "more than 1", above=True)


def test_texts() -> None:
    value_checks.length("four", "name", 4)
    with pytest.raises(TooLong, match="the name is 5 characters; 4 are read at most, shorten it"):
        value_checks.length("fiver", "name", 4)
    with pytest.raises(BadRequest, match="the name is no Unicode at character 2; write it as UTF-8"):
        value_checks.length("ca\udc80t", "name")
    with pytest.raises(BadRequest, match="the name is 7; it should be a text"):
        value_checks.length(7, "name")


def test_long_texts_are_counted_no_further_than_the_limit() -> None:
    read = list[int]()

    def count(piece: str) -> int:
        read.append(len(piece))
        return len(piece.split())

    value_checks.tokens("a " * 1000, "a text", 10, count)  # so short that the whole is no trouble
    assert not read
    with pytest.raises(
        TooLong, match="a text is 22,000,000 characters, more than 512 tokens, all that the model reads; shorten it"
    ):
        value_checks.tokens("red apple " * 2_200_000, "a text", 512, count)
    assert sum(read) <= value_checks.PIECE
    value_checks.tokens("x" * 10**6, "a text", 512, count)  # one word, however long, is one token to some


def test_counting_ends_where_nobody_waits() -> None:
    looked = iter([None, None, Cancelled("gone")])

    def check() -> None:
        if why := next(looked):
            raise why

    with pytest.raises(Cancelled):
        value_checks.tokens(" " * 10**7, "a text", 512, lambda piece: 0, check)
