"""Where a quote may be cut: never within a number, amount, date, time, address or code, nor off its sign or unit, nor within a
word of a script that writes no spaces.

`whole` makes a span wider until both its ends are such places. It needs no model, so it holds for every reader.
"""

from __future__ import annotations

import re
from itertools import chain

NUMBER = r"\d+(?:[.,'’\u00a0\u202f]\d+)*"
UNITS = (
    r"%|‰|°\s?[CFK]?\b|°|(?:µ|μ|[kcmndMGT])?(?:m|g|l|L|V|W|A|Hz|Pa|B|bit|Wh|N|J|eV)(?:[²³23]|/[a-z]+)?\b|(?:km|m)/h\b|mph\b|"
    r"(?:lb|lbs|oz|ft|mi|sq mi|sq ft|in(?=[).,;])|kn|ha|t|dB|pH|bar|rpm|EUR|USD|GBP|CHF|JPY)\b|[€$£¥₹]|円|元|"
    r"per ?cent\b|percent\b|Prozent\b"
)
WORDS = (
    r"(?:hundred|thousand|million|billion|trillion|Millionen|Milliarden|Tausend|milliers|millones)"
    r"(?: (?:euros?|dollars?|pounds?|francs?|yen|rupees))?|"
    r"euros?|dollars?|pounds?|francs?|cents?|yen|rupees|pesos|crowns|Euro|Franken|"
    r"(?:kilo|centi|milli|micro|nano)?(?:met(?:re|er)s?|grams?|grammes?|lit(?:re|er)s?)|tonn?es?|tons?|miles?|feet|inches|yards|acres|"
    r"hectares|knots|degrees(?: (?:Celsius|Fahrenheit))?|kelvins?|volts?|watts?|kilowatts?|amp(?:ere)?s?|hertz|bytes|"
    r"ounces|gallons|minutes?|hours?|seconds?|days?|weeks?|months?|years?|Uhr|Stunden|Minuten|Tage|Jahre"
)
SIGN = r"(?:[±≈~<>≤≥]\s?)?(?:(?<![\w)])[-+−–]\s?)?(?:(?:[€$£¥₹]|(?:US|C|A)\$|EUR|USD|CHF|GBP)\s?)?(?:(?<![\w)])[-−])?"
MONTH = (
    r"(?:Jan(?:uary|uar)?|Feb(?:ruary|ruar)?|Mar(?:ch)?|März|Apr(?:il)?|May|Mai|June?|Juni|July?|Juli|Aug(?:ust)?|"
    r"Sept?(?:ember)?|O[ck]t(?:ober)?|Nov(?:ember)?|De[cz](?:ember)?)\.?"
)
SOLID = [
    re.compile(pattern)
    for pattern in (
        rf"\({NUMBER}\)(?:\s(?:{WORDS})(?!\w))?",  # as accounts write a loss
        rf"{SIGN}{NUMBER}(?:\s?[-–−/:x×]\s?{NUMBER})*(?:\s?(?:{UNITS}))?",
        r"https?://[^\s<>\"]*[\w/]|www\.[^\s<>\"]*[\w/]|[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
        r"(?:[A-Za-z]:\\|\\\\|(?<![\w.])~?/(?=\w))[\w.\\/-]*\w|[\w-]+(?:\.[a-z][\w-]*)+(?=\W|$)",
        r"(?:(?=[\w./_:#-]*\d)[^\W_]+(?:[-/_.:#][^\W_]+)+)",  # AB-7731/4, 2024-11-05, 192.168.4.17
        r"(?=[A-Za-z]*\d)[A-Za-z0-9]+(?<=[A-Za-z0-9])",  # B12, 4th
        r"\+\d[\d\s()/-]{5,}\d",
        r"\d{1,2}[:.]\d{2}(?:[:.]\d{2})?(?:\s?(?:[ap]\.?\s?m\b\.?|Uhr\b|h\b))?",
        r"\b\d+[a-z]?\s(?:[A-Z][\w'’-]*\s){1,3}(?:Street|St|Road|Rd|Avenue|Ave|Lane|Drive|Square|Boulevard)\b",
        r"\b[A-ZÄÖÜ][\wäöüß-]*(?:straße|strasse|gasse|weg|platz)\s\d+\s?[a-z]?\b",
    )
]
DATES = [
    re.compile(pattern)
    for pattern in (
        rf"\b\d{{1,2}}(?:st|nd|rd|th|\.)?\s(?:of\s)?{MONTH}(?!\w)(?:,?\s\d{{4}})?",
        rf"\b{MONTH}\s\d{{1,2}}(?:st|nd|rd|th)?\b(?:,?\s\d{{4}})?",
    )
]
"""With a month's name."""
MEASURED = re.compile(rf"{NUMBER}(?:\s?[-–]\s?{NUMBER})?\s(?:{WORDS})(?!\w)")
RUNS = re.compile(
    "[\u0e00-\u0e7f]+|[\u0e80-\u0eff]+|[\u1780-\u17ff]+|[\u1000-\u109f]+|"  # Thai, Lao, Khmer, Myanmar
    "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff々]+[\u3041-\u309f]*|[\u30a1-\u30ff]+|[\u3041-\u309f]+"  # Han, kana
)

NUMBERED = re.compile(r"(?:[ \u00a0]\d{1,3}[A-Za-z]?(?=[.,;:!?)\]\"'”’]|\s*(?:\n|$)))(?![.,]\d)")
"""A number that ends a line or clause, behind a name that it belongs to: "Pier 11"."""


def whole(text: str, start: int, end: int, question: str = "") -> tuple[int, int]:
    """The span `text[start:end]`, widened to the nearest places where it may be cut.

    A unit that is a word, such as "hours", is left off where the question has it already ("how many hours"), and so is the
    rest of a date where it asks for a year or month.
    """
    if not start < end:
        return start, end
    low, high = max(0, start - 200), min(len(text), end + 200)
    near = text[low:high]
    asked = {match.group()[:3] for match in re.finditer(r"[^\W\d_]+", question.lower())}
    solid = SOLID if asked & {"yea", "mon"} else SOLID + DATES
    atoms = [(m.start() + low, m.end() + low) for m in chain.from_iterable(p.finditer(near) for p in solid)]
    atoms += [(m.start() + low, m.end() + low) for m in RUNS.finditer(near)]
    for measured in MEASURED.finditer(near):
        unit = re.findall(r"[^\W\d_]+", measured.group())
        if not any(word.lower()[:3] in asked for word in unit):
            atoms.append((measured.start() + low, measured.end() + low))
    changed = True
    while changed:
        changed = False
        for a, b in atoms:
            if a < start < b or a < end < b:
                start, end, changed = min(a, start), max(b, end), True
                atoms = [atom for atom in atoms if atom != (a, b)]
                break
    while start < end and text[start].isspace():
        start += 1
    last = text[start:end].rpartition(" ")[2]
    if last[:1].isupper() and last.isalpha() and (number := NUMBERED.match(text, end)):
        end = number.end()
    return start, end
