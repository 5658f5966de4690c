from fractions import Fraction

import pytest

from mmgen.errors import BadRequest
from mmgen.pipelines.agent import units


def test_conversions_are_exact() -> None:
    assert units.convert(8, "miles", "kilometres") == Fraction("12.874752")
    assert units.convert(Fraction("3.5"), "hours", "minutes") == 210
    assert units.convert(90, "kmh", "mps") == 25
    assert units.convert(-40, "celsius", "fahrenheit") == -40
    assert units.convert(0, "celsius", "kelvin") == Fraction("273.15")


def test_what_does_not_fit() -> None:
    with pytest.raises(BadRequest, match="kg is mass and km is length"):
        units.convert(1, "kg", "km")
    with pytest.raises(BadRequest, match="parsec"):
        units.convert(1, "parsec", "km")
    assert units.known("Nautical Mile") and not units.known("ell")
