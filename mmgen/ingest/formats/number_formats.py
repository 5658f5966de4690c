"""Number formats of spreadsheets: how a cell shows its number. ECMA-376 part 1, 18.8.30 and 18.8.31."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache

BUILT_IN = {
    0: "General", 1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "General",
    13: "General", 14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM", 19: "h:mm:ss AM/PM",
    20: "h:mm", 21: "h:mm:ss", 22: "yyyy-mm-dd h:mm", 37: "#,##0;(#,##0)", 38: "#,##0;(#,##0)", 39: "#,##0.00;(#,##0.00)",
    40: "#,##0.00;(#,##0.00)", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0", 48: "##0.0E+0", 49: "@",
}  # fmt: skip
"""By id. Those whose look depends on the reader's country, 14 and 22, are shown as ISO 8601 says."""
TOKEN = re.compile(
    r"""(?P<literal>"[^"]*"?|\\.|_.|\*.)|(?P<bracket>\[[^\]]*\])|(?P<ampm>am/pm|a/p)|(?P<general>general)|(?P<exponent>e[+-])
    |(?P<date>y+|m+|d+|h+|s+|e+|g+)|(?P<digits>[0#?][0#?,]*(?:\.[0#?]*)?,*|\.[0#?]+)|(?P<other>.)""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()  # noqa: SIM905
LAST = 2_958_466  # days from 1900 to the year 10000
Token = tuple[str, str]


@lru_cache(10_000)
def shown(value: float, code: str, since_1904: bool = False) -> str:
    """A number as its format shows it, with English names of months and days.

    Args:
        value: of the cell.
        code: the format, such as `#,##0.00 "EUR"` or `dd.mm.yyyy`.
        since_1904: whether days are counted from 1904.
    """
    section, signed = _section(sections(code), value)
    tokens = _tokens(section)
    kinds = {kind for kind, _ in tokens}
    if "date" in kinds or any(kind == "bracket" and _elapsed(text) for kind, text in tokens):
        return _date(value, tokens, since_1904)
    text = _number(abs(value), tokens).strip()
    return f"-{text}" if signed and value < 0 and re.search(r"[1-9]", text) else text


def general(value: float) -> str:
    """As the format General does: up to 10 significant digits."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    text = f"{value:.10g}"
    return text.replace("e", "E") if "e" in text else text


@lru_cache(1000)
def sections(code: str) -> tuple[str, ...]:
    """The parts of a format between semicolons: of positive and negative numbers, zero, text."""
    parts = [""]
    for match in TOKEN.finditer(code):
        if match[0] == ";":
            parts.append("")
        else:
            parts[-1] += match[0]
    return tuple(parts)


def _section(parts: Sequence[str], value: float) -> tuple[str, bool]:
    """The part for a number, and whether its sign is shown besides."""
    for part in parts[:2]:
        if condition := re.match(r"(?:\[[^\]<>=]*\])*\[([<>=]{1,2})(-?[\d.]+)\]", part):
            limit, sign = float(condition[2]), condition[1]
            tests = {"<": value < limit, ">": value > limit, "=": value == limit}
            tests |= {"<=": value <= limit, ">=": value >= limit, "<>": value != limit}
            if tests.get(sign, False):
                return part, True
    if any(re.match(r"(?:\[[^\]<>=]*\])*\[[<>=]", part) for part in parts[:2]):
        return parts[min(2, len(parts) - 1)], True
    if value < 0 and len(parts) > 1:
        return parts[1], False
    if value == 0 and len(parts) > 2:
        return parts[2], False
    return parts[0], True


@lru_cache(1000)
def _tokens(section: str) -> tuple[Token, ...]:
    """Kind and text of each token; `mm` beside hours or seconds are minutes."""
    found = [(str(match.lastgroup), match[0]) for match in TOKEN.finditer(section)]
    times = [at for at, (kind, text) in enumerate(found) if kind == "date" or (kind == "bracket" and _elapsed(text))]
    for before, at, after in zip([None, *times], times, [*times[1:], None], strict=False):
        if found[at][1].lower() in ("m", "mm"):
            hours = before is not None and found[before][1].lower().strip("[]")[:1] == "h"
            seconds = after is not None and found[after][1].lower().strip("[]")[:1] == "s"
            if hours or seconds:
                found[at] = ("minute", found[at][1])
    return tuple(found)


def _elapsed(text: str) -> bool:
    return bool(re.fullmatch(r"\[(h+|m+|s+)\]", text, re.IGNORECASE))


def _literal(kind: str, text: str) -> str:
    if kind == "literal":
        return {'"': text.strip('"'), "\\": text[1:], "_": " ", "*": ""}.get(text[0], text)
    if kind == "bracket":  # [$€-407] shows its symbol; colours, conditions and locales nothing
        return text[2:-1].partition("-")[0] if text.startswith("[$") else ""
    return text if kind == "other" else ""


def _number(value: float, tokens: Sequence[Token]) -> str:
    """A number that is not negative."""
    digits = [at for at, (kind, _) in enumerate(tokens) if kind == "digits"]
    others = "".join(text for kind, text in tokens if kind == "other")
    if "/" in others and digits:
        return general(value)  # fractions, as decimals
    value *= 100.0 ** others.count("%")
    out = [general(value) if kind == "general" or text == "@" else _literal(kind, text) for kind, text in tokens]
    exponent = next((at for at, (kind, _) in enumerate(tokens) if kind == "exponent"), None)
    if exponent is not None and len(digits) > 1:
        decimals = len(tokens[digits[0]][1].partition(".")[2])
        mantissa, _, power = f"{value:.{decimals}E}".partition("E")
        sign = "-" if int(power) < 0 else "+" if tokens[exponent][1].endswith("+") else ""
        out[digits[0]], out[exponent] = mantissa, f"E{sign}"
        out[digits[1]] = str(abs(int(power))).zfill(tokens[digits[1]][1].count("0"))
    elif len(digits) == 1:
        out[digits[0]] = _digits(value, tokens[digits[0]][1])
    elif digits:
        left = _digits(value, "".join(tokens[at][1] for at in digits))
        for at in reversed(digits[1:]):  # 000-0000: filled from the right
            size = len(tokens[at][1])
            out[at], left = left[-size:], left[:-size]
        out[digits[0]] = left
    return "".join(out)


def _digits(value: float, pattern: str) -> str:
    """By a pattern such as `#,##0.0#`."""
    bare = pattern.rstrip(",")
    value /= 1000.0 ** (len(pattern) - len(bare))
    bare, point, part = bare.partition(".")
    if value >= 1e15:
        return general(value)
    number = Decimal(repr(value)).quantize(Decimal(1).scaleb(-len(part)), ROUND_HALF_UP)
    text, _, decimals = f"{number:f}".partition(".")
    text = text.lstrip("0").zfill(bare.count("0"))
    if "," in bare.strip(","):
        text = f"{int(text):,}" if text else ""
    needed = len(part.rstrip("#?"))
    decimals = decimals[:needed] + decimals[needed:].rstrip("0")
    return text + (point + decimals if decimals else "")


def _date(value: float, tokens: Sequence[Token], since_1904: bool) -> str:
    days = value + (1462 if since_1904 else 1 if 0 <= value < 60 else 0)  # of 1900 a 29th of February is counted too
    if not 0 <= days < LAST:
        return general(value)
    fine = any(kind == "digits" and text.startswith(".") for kind, text in tokens)
    seconds = days * 86400
    time = datetime(1899, 12, 30) + timedelta(seconds=round(seconds, 3) if fine else round(seconds))
    half = any(kind == "ampm" for kind, _ in tokens)
    return "".join(_time_part(kind, text, time, round(value * 86400), half) for kind, text in tokens).strip()


def _time_part(kind: str, text: str, time: datetime, seconds: int, half: bool) -> str:
    size, letter = len(text), text[0].lower()
    if kind == "ampm":
        return ("AM" if time.hour < 12 else "PM")[: 2 if size > 3 else 1]
    if kind == "digits" and text.startswith("."):
        return f".{time.microsecond // 1000:03d}"[:size]
    if kind == "bracket" and _elapsed(text):
        per = {"h": 3600, "m": 60, "s": 1}[text[1].lower()]
        return str(seconds // per).zfill(size - 2)
    if kind == "minute":
        return str(time.minute).zfill(size)
    if kind != "date":
        return _literal(kind, text) if kind != "digits" else text
    if letter == "y" or letter == "e":
        return f"{time.year % 100:02d}" if size < 3 and letter == "y" else str(time.year)
    if letter == "m":
        name = MONTHS[time.month - 1]
        return str(time.month).zfill(size) if size < 3 else name[: {3: 3, 5: 1}.get(size, 99)]
    if letter == "d":
        return str(time.day).zfill(size) if size < 3 else DAYS[time.weekday()][: 3 if size == 3 else 99]
    if letter == "h":
        return str((time.hour % 12 or 12) if half else time.hour).zfill(size)
    return str(time.second).zfill(size) if letter == "s" else ""
