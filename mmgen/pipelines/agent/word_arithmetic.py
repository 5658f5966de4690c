"""A calculation as people say it, as an expression of the calculator: "what is 15% of 240" -> (15 / 100) * 240."""

from __future__ import annotations

import re

from mmgen.errors import MmgenError
from mmgen.pipelines.agent import calculator, units

LONGEST = 600  # characters of a request that are read
ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
LEAD = re.compile(
    r"^(?:please\s+|can you\s+|could you\s+)?(?:what(?:'s| is| are)|how much (?:is|are|makes?)|calculate|compute|work out|"
    r"evaluate|solve|tell me|give me|find)?\s*(?:the (?:value|result) of\s+)?",
)
TAIL = re.compile(r"\s*(?:please|equals?|=|as a decimal(?: number)?|together|in total|exactly)?[\s?.!=]*$")
N = r"(-?\d+(?:\.\d+)?(?:/\d+)?|\([^()]*\))"
LIST = rf"{N}(?:\s*,\s*{N})*(?:\s*,?\s*and\s*{N})?"
PHRASES: tuple[tuple[str, str], ...] = (
    (r"(?:the )?square root of " + N, r"sqrt(\1)"),
    (r"(?:the )?cube root of " + N, r"(\1)**(1/3)"),
    (r"(?:the )?square of " + N, r"(\1)**2"),
    (r"(?:the )?cube of " + N, r"(\1)**3"),
    (r"(?:the )?factorial of " + N, r"factorial(\1)"),
    (N + r"\s*(?:squared)", r"(\1)**2"),
    (N + r"\s*(?:cubed)", r"(\1)**3"),
    (N + r"\s*(?:factorial|!)", r"factorial(\1)"),
    (N + r"\s*to the power(?: of)? " + N, r"(\1)**(\2)"),
    (N + r"\s*(?:%|percent|per cent)\s*(?:tip )?(?:of|on)\s*" + N + r"(?: (?:dollars|euros|pounds))?", r"(\1/100)*\2"),
    (N + r" as a (?:percentage|share) of " + N, r"100*(\1)/(\2)"),
    (r"half of " + N, r"(\1)/2"),
    (r"(?:double|twice) " + N, r"2*\1"),
    (r"(?:the )?difference between " + N + r" and " + N, r"(\1)-(\2)"),
    (r"(?:the )?product of " + N + r" and " + N, r"(\1)*(\2)"),
    (r"(?:the )?quotient of " + N + r" and " + N, r"(\1)/(\2)"),
    (r"subtract " + N + r" from " + N, r"(\2)-(\1)"),
    (r"divide " + N + r" (?:by|through) " + N, r"(\1)/(\2)"),
    (r"multiply " + N + r" (?:by|with|and) " + N, r"(\1)*(\2)"),
)
OPERATIONS = (
    (r"\bplus\b|\badded to\b", "+"), (r"\bminus\b|\bless\b", "-"), (r"\btimes\b|\bmultiplied by\b|(?<=\d)\s*x\s*(?=\d)", "*"),
    (r"\bdivided by\b|\bover\b", "/"), (r"\bmod(?:ulo)?\b", "%"),
)  # fmt: skip
CONVERSIONS = (
    re.compile(
        rf"^(?:convert|how much (?:is|are)|what(?:'s| is| are))?\s*{N}\s*(?:degrees? )?([a-z]+)\s+"
        r"(?:to|in|into|as)\s+(?:degrees? )?([a-z]+)$"
    ),
    re.compile(rf"^how many ([a-z]+) (?:are|is)(?: there)?(?: in)? {N} ?([a-z]+)$"),
)  # fmt: skip


def expression(request: str) -> str | None:
    """What there is to calculate, or None where the words are no plain calculation."""
    said = TAIL.sub("", _digits(request.lower().strip()[:LONGEST]))
    said = re.sub(r"(?<=\d),(?=\d{3}\b)", "", said)
    if found := _conversion(said):
        return found
    said = LEAD.sub("", said, count=1).strip()
    said = re.sub(r"^(?:the )?(?:sum of|add) " + LIST + "$", lambda m: "+".join(_numbers(m[0])), said)
    said = re.sub(r"^sum " + LIST + "$", lambda m: "+".join(_numbers(m[0])), said)
    said = re.sub(r"^(?:the )?(?:average|mean) of " + LIST + "$", lambda m: f"average({','.join(_numbers(m[0]))})", said)
    for pattern, into in PHRASES:
        said = re.sub(pattern, into, said)
    for pattern, sign in OPERATIONS:
        said = re.sub(pattern, sign, said)
    said = said.strip()
    if not re.search(r"\d", said) or re.fullmatch(r"[\d\s.]+", said):
        return None
    try:
        calculator.calculate(said)
    except MmgenError as why:
        return said if "divides by zero" in str(why) else None
    return said


def _conversion(said: str) -> str | None:
    for number, pattern in enumerate(CONVERSIONS):
        if found := pattern.match(said):
            value, source, target = (found[1], found[2], found[3]) if number == 0 else (found[2], found[3], found[1])
            if units.known(source) and units.known(target):
                return f"convert({value}, {source}, {target})"
    return None


def _numbers(text: str) -> list[str]:
    return re.findall(r"-?\d+(?:\.\d+)?(?:/\d+)?", text)


def _digits(text: str) -> str:
    """Numbers in words, up to nine hundred and ninety-nine, in digits."""
    values = {word: n for n, word in enumerate(ONES)} | {word: 10 * n for n, word in enumerate(TENS, 2)} | {"hundred": 100}
    words = "|".join(sorted(values, key=len, reverse=True))

    def number(found: re.Match[str]) -> str:
        total = 0
        for word in re.findall(words, found[0]):
            total = max(1, total) * 100 if word == "hundred" else total + values[word]
        return str(total)

    return re.sub(rf"\b(?:{words})(?:(?:[\s-]|\sand\s)+(?:{words}))*\b", number, text)
