"""Units of measurement that the calculator converts. Factors are exact by definition (BIPM, international yard and pound)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from mmgen.errors import BadRequest, nearest

SIZES: dict[str, dict[str, tuple[str, ...]]] = {
    "length": {
        "1": ("m", "metre", "meter"), "0.001": ("mm", "millimetre", "millimeter"), "0.01": ("cm", "centimetre", "centimeter"),
        "1000": ("km", "kilometre", "kilometer"), "0.0254": ("inch", "inches"), "0.3048": ("ft", "foot", "feet"),
        "0.9144": ("yd", "yard"), "1609.344": ("mi", "mile"), "1852": ("nmi", "nautical_mile"),
    },
    "mass": {
        "1": ("kg", "kilogram", "kilo"), "0.001": ("g", "gram"), "0.000001": ("mg", "milligram"), "1000": ("t", "tonne"),
        "0.45359237": ("lb", "pound"), "0.028349523125": ("oz", "ounce"),
    },
    "time": {
        "1": ("s", "sec", "second"), "0.001": ("ms", "millisecond"), "60": ("min", "minute"), "3600": ("h", "hour"),
        "86400": ("d", "day"), "604800": ("week",),
    },
    "volume": {
        "1": ("l", "litre", "liter"), "0.001": ("ml", "millilitre", "milliliter"), "3.785411784": ("gal", "gallon"),
        "0.473176473": ("pint",), "1000": ("m3",),
    },
    "speed": {"1": ("mps",), "5/18": ("kmh", "kph"), "0.44704": ("mph",), "463/900": ("knot",)},
    "data": {"1": ("byte",), "1000": ("kb",), "1000000": ("mb",), "1000000000": ("gb",), "1024": ("kib",), "1048576": ("mib",)},
    "temperature": {"c": ("c", "celsius"), "f": ("f", "fahrenheit"), "k": ("k", "kelvin")},
}  # fmt: skip
UNITS = {
    spelling: (kind, size)
    for kind, sizes in SIZES.items()
    for size, names in sizes.items()
    for name in names
    for spelling in (name, f"{name}s")
}
"""Each spelling, with its kind and its size in the kind's first unit."""


def known(name: str) -> bool:
    return name.lower().replace(" ", "_") in UNITS


def convert(value: Any, source: str, target: str) -> Any:
    """Raises BadRequest for a unit that is not known, or two of different kinds."""
    (kind, size), (other, into) = _unit(source), _unit(target)
    if kind != other:
        raise BadRequest(f"{source} is {kind} and {target} is {other}; convert between units of one kind")
    value = Fraction(value)
    return _warm(value, size, into) if kind == "temperature" else value * Fraction(size) / Fraction(into)


def _unit(name: str) -> tuple[str, str]:
    key = name.lower().replace(" ", "_")
    if key not in UNITS:
        raise BadRequest(
            f'the unit "{name[:30]}" is not known{nearest(key, list(UNITS))}; take one such as km, mile, kg or celsius'
        )
    return UNITS[key]


def _warm(value: Fraction, source: str, target: str) -> Fraction:
    celsius = {"c": value, "f": (value - 32) * 5 / 9, "k": value - Fraction("273.15")}[source]
    return {"c": celsius, "f": celsius * 9 / 5 + 32, "k": celsius + Fraction("273.15")}[target]
