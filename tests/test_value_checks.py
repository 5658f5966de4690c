"""Numbers and texts out of their limits."""

import math
from typing import Any

import pytest

from mmgen import value_checks
from mmgen.errors import BadRequest, TooLong


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
    with pytest.raises(BadRequest, match="the name is 7; it should be a text"):
        value_checks.length(7, "name")
