"""Words broken at the ends of lines: whether the hyphen is the break's or the word's own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache

from mmgen.config import assets_dir
from mmgen.ingest.pdf.words import SOFT_HYPHEN

BROKEN = re.compile(r"(?<=\w)[-\u2010\u00ad]$")
TRIM = re.compile(r"^\W+|\W+$")
CONJUNCTIONS = frozenset("and or to und oder bzw sowie bis et ou y o e ed en of och eller og i lub".split())  # noqa: SIM905
"""What follows a word that leaves its second half to a later one: pre- and post-war."""
COMPOUND = frozenset("self non ex well cross half all quasi anti semi vice pseudo neo un-self".split())  # noqa: SIM905
"""First parts that keep their hyphen more often than not."""


class Hyphenation:
    """Decides by the words of the document itself, then by a list of English words, then by rule."""

    def __init__(self, words: Iterable[str]) -> None:
        """`words`: the document's, without those that stand at a line's end."""
        self.seen = Counter(TRIM.sub("", word).lower() for word in words)

    def joined(self, first: str, second: str) -> str | None:
        """The two parts as one text, or None where the first is not broken: it keeps its hyphen, and a space follows."""
        if not BROKEN.search(first):
            return None
        stem, mark = first[:-1], first[-1]
        if mark == SOFT_HYPHEN:
            return stem + second
        follower = TRIM.sub("", second)
        if not follower or follower.lower() in CONJUNCTIONS:
            return None
        kept = f"{stem}-{second}"
        if not follower[0].islower() or not stem[-1].isalpha():
            return kept  # Rhein-Main, 2019-2020, 3-year
        whole, parted = (TRIM.sub("", text).lower() for text in (stem + second, kept))
        if self.seen[whole] != self.seen[parted]:
            return stem + second if self.seen[whole] > self.seen[parted] else kept
        if whole in _english() or "-" not in parted:
            return stem + second
        left = parted.split("-", 1)[0]
        return kept if left in COMPOUND or parted.count("-") > 1 else stem + second


@cache
def _english() -> frozenset[str]:
    return frozenset((assets_dir() / "words" / "english.txt").read_text(encoding="utf-8").split())
