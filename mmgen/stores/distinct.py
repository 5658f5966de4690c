"""Leaves out passages that say only what a better one says, so that k passages are k different texts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmgen.interfaces import Passage

WORD = re.compile(r"\w+")


def distinct(passages: Sequence[Passage], k: int) -> dict[int, list[int]]:
    """Places of the first `k` passages that differ -> places of those that repeat them or a part of them; best first.

    Case, punctuation and white space do not count. A word that differs does: it can be the one that is asked for. So does a
    heading: "2 years" under another product says something else.
    """
    found: dict[int, list[int]] = {}
    said: dict[str, dict[str, int]] = {}  # heading -> words, and the place of the passage
    for place, passage in enumerate(passages):
        words, known = _words(passage.text), said.setdefault(_words(passage.heading), {})
        same = known[words] if words in known else next((at for text, at in known.items() if words in text), None)
        if same is not None:
            found[same].append(place)
        elif len(found) < k:
            found[place] = []
            known[words] = place
    return found


def _words(text: str) -> str:
    return f" {' '.join(WORD.findall(text.casefold()))} "
