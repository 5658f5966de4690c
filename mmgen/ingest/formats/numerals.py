"""Numbers as lists show them: 3, c, iii."""

from __future__ import annotations

ROMAN = {
    1000: "m",
    900: "cm",
    500: "d",
    400: "cd",
    100: "c",
    90: "xc",
    50: "l",
    40: "xl",
    10: "x",
    9: "ix",
    5: "v",
    4: "iv",
    1: "i",
}
CHINESE = "〇一二三四五六七八九"


def roman(number: int) -> str:
    """In lower case; numbers below 1 or from 4,000 on as digits."""
    if not 0 < number < 4000:
        return str(number)
    out = ""
    for value, letters in ROMAN.items():
        out += letters * (number // value)
        number %= value
    return out


def letters(number: int, repeated: bool = True) -> str:
    """a to z, then aa, bb as Word counts; not `repeated`: aa, ab as spreadsheets do."""
    if number < 1:
        return str(number)
    if repeated:
        return chr(97 + (number - 1) % 26) * min((number - 1) // 26 + 1, 30)
    out = ""
    while number:
        number, rest = divmod(number - 1, 26)
        out = chr(97 + rest) + out
    return out


def ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending}"


def chinese(number: int) -> str:
    """Up to 99 as counted, others digit by digit."""
    tens, ones = divmod(number, 10)
    if not 0 < number < 100:
        return "".join(CHINESE[int(digit)] for digit in str(abs(number)))
    return ("" if tens == 0 else "十" if tens == 1 else CHINESE[tens] + "十") + (CHINESE[ones] if ones or not tens else "")
