"""Sentence segmentation of prose: terminators, abbreviations and enumerations of many scripts."""

from __future__ import annotations

import re
from itertools import pairwise

NEVER_LAST = frozenset(
    """mr mrs ms messrs mme dr prof st mt ft gen col lt capt sgt maj cmdr rev hon gov sen rep pres fr vs v eg e.g ie i.e
    viz cf fig figs eq eqs sec ch chap vol vols pp ed eds nos approx ca al dept univ""".split()  # noqa: SIM905  a list of words
)
"""Abbreviations that a word must follow."""
MAYBE_LAST = frozenset(
    """etc inc ltd co corp jr sr a.m p.m ph.d jan feb mar apr jun jul aug sep sept oct nov dec est""".split()  # noqa: SIM905  a list of words
)
"""Abbreviations that end a sentence if a word with a capital that often begins one follows."""
OPENERS = frozenset(
    """a an the this that these those there here it its he she they we you i his her their our my in on at by for from
    with to as after before when while if but and or so yet since although because however then thus what who why how
    where both each every all some many most no not one two only other another today later during under over until
    among between""".split()  # noqa: SIM905  a list of words
)
STOP = re.compile(
    r"(?<![.!?…؟۔।॥])[.!?…؟۔।॥]+(?:\[\d{1,4}\])*[\"'”’»)\]]*(?=\s)"  # a stop, note numbers, what closes; then white space
    r"|[。！？｡]+[」』”’）】》]*"
)
ITEM = re.compile(r"\n(?=[ \t]*+(?:[-*+•‣]|\(?\d{1,3}[.)]|\||[^\n|]* \|)[ \t])")
NUMBER = re.compile(r"(?:^|\n)[ \t]*\(?(?:\d{1,3}|[A-Za-z])$")
WORD = re.compile(r"[^\W\d_][\w.]*$")


def sentences(text: str) -> list[tuple[int, int]]:
    """Character ranges of the sentences, without gaps: each takes the white space that follows it.

    An item of a list and a row of a table count as sentences; a mere line break does not end one.
    """
    begin = _after_space(text, 0)
    cuts = {0, len(text)}
    for match in STOP.finditer(text):
        if _ends(text, match.start(), match.end()):
            cuts.add(_after_space(text, match.end()))
    cuts.update(match.end() for match in ITEM.finditer(text, begin))
    order = sorted(cuts)
    return list(pairwise(order))


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _ends(text: str, stop: int, end: int) -> bool:
    """Whether the stop at `[stop, end)` ends a sentence."""
    if text[stop] in "。！？｡":
        return True
    following = re.match(r"[\W_]*(\w*)", text[end : end + 40])
    after = following[1] if following else ""
    if after[:1].islower():
        return False
    if text[stop] != "." or text[stop + 1 : stop + 2] in (".", "!", "?"):
        return True
    line = text[max(0, stop - 24) : stop]
    if NUMBER.search(line if stop <= 24 else "x" + line):
        return False  # "1." before an item
    found = WORD.search(line)
    word = found[0] if found else ""
    if len(word) == 1 and word.isupper():
        return after.lower() in OPENERS and after.lower() != "i"  # an initial, or "vitamin C"
    low = word.lower()
    if low in NEVER_LAST:
        return False
    if low == "no":
        return not after[:1].isdigit()
    if low in MAYBE_LAST or ("." in low and all(len(part) <= 2 for part in low.split("."))):  # "U.S." among them
        return after.lower() in OPENERS
    return True
