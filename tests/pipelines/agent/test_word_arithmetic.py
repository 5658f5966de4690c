import pytest

from mmgen.pipelines.agent.calculator import calculate, shown
from mmgen.pipelines.agent.word_arithmetic import expression


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("What is 17 times 23?", "391"),
        ("Calculate 15% of 240", "36"),
        ("how much is 8 miles in kilometres", "12.874752"),
        ("How many minutes are in 3.5 hours?", "210"),
        ("what is twenty five plus seventeen", "42"),
        ("two hundred and five minus five", "200"),
        ("Add 45, 67 and 89", "201"),
        ("What's the square root of 2025?", "45"),
        ("Work out (7 + 5) squared", "144"),
        ("subtract 15 from 1,000", "985"),
        ("convert 30 degrees celsius to fahrenheit", "86"),
        ("What is 3/8 as a decimal?", "0.375"),
    ],
)
def test_calculations_in_words(said: str, value: str) -> None:
    found = expression(said)
    assert found is not None and shown(calculate(found)) == value


@pytest.mark.parametrize(
    "said",
    ["Who built it in 1823?", "1984", "What happened on 3 May?", "3 shirts at 19.99 each", "hello", "", "write 5 lines", "a+b"],
)
def test_what_is_no_plain_calculation(said: str) -> None:
    assert expression(said) is None


def test_a_division_by_zero_is_still_a_calculation() -> None:
    assert expression("what is 4 divided by 0?") == "4 / 0"
