from contextlib import suppress

import pytest

from mmgen.errors import BadRequest, MmgenError, TooLarge, TooLong
from mmgen.pipelines.agent.calculator import calculate, shown


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 * (3 + 4)", "14"),
        ("0.1 + 0.2", "0.3"),
        ("1/3 + 1/6", "0.5"),
        ("1/3", "0.333333333333"),
        ("2^10", "1024"),
        ("2**-3", "0.125"),
        ("sqrt(144) + 5", "17"),
        ("2**0.5", "1.41421356237"),
        ("-7 // 2", "-4"),
        ("10 % 3", "1"),
        ("factorial(5)", "120"),
        ("average(4, 8, 15)", "9"),
        ("round(2.675, 2)", "2.68"),
        ("log10(1000)", "3"),
        ("convert(72, fahrenheit, celsius)", "22.2222222222"),
        ("19.99 * 3", "59.97"),
        ("12345678 * 10", "123 456 780"),
        ("-0.25", "-0.25"),
    ],
)
def test_values(expression: str, value: str) -> None:
    assert shown(calculate(expression)) == value


@pytest.mark.parametrize(
    "attack",
    [
        "__import__('os').system('id')",
        "().__class__", "open('/etc/passwd')", "(1).real", "[1] * 9", "'a' * 9", "lambda: 1",
        "1 if 1 else 2", "x := 5",
        "True + 1", "f'{1}'", "{1: 2}", "print(1)", "sqrt(-1)", "(-8)**(1/3)", "", "1e400", "abs(*[1])",
        "max(key=1)", "convert(1, 'km', 'm')", "2 << 3", "1j",
    ],
)  # fmt: skip
def test_what_is_no_arithmetic_is_refused(attack: str) -> None:
    with pytest.raises(BadRequest):
        calculate(attack)


@pytest.mark.parametrize("bomb", ["9**9**9", "9**99999", "factorial(501)", "factorial(10**9)", "(10**1000)*(10**1000)"])
def test_numbers_are_bounded(bomb: str) -> None:
    with pytest.raises(TooLarge):
        calculate(bomb)


@pytest.mark.parametrize("bomb", ["(" * 240 + ")" * 240, "-" * 499 + "1", "1+" * 249 + "1"])
def test_nesting_ends_in_an_answer(bomb: str) -> None:
    with suppress(MmgenError):
        shown(calculate(bomb))


def test_long_and_zero() -> None:
    with pytest.raises(TooLong, match="501 characters, 500"):
        calculate("1" * 501)
    with pytest.raises(BadRequest, match="divides by zero"):
        calculate("1 / 0")
