"""A question that is longer than a reader's window, as parts that fit: sentences, those that ask first."""

from __future__ import annotations

import re
from itertools import pairwise

from mmgen.models.lm.tokenizer import Tokenizer

MOST = 3
"""Parts that are read; each costs as much as a question of its own."""
CUT = re.compile(r"(?<=[.!?…؟])[\"'”’)]*\s+|(?<=[。！？])|\n+")
CLAUSE = re.compile(r"[,;:]\s+")
ASKED = re.compile(r"\b(?:what|which|who|whom|whose|when|where|why|how)\b(?:\W+\w+){2}", re.I)
ASKING = ("?", "？", "؟")


def question_parts(question: str, tokenizer: Tokenizer, longest: int, most: int = MOST) -> list[str]:
    """The question itself where it has at most `longest` tokens.

    Otherwise at most `most` windows of as many sentences as fit, each with one at its end: the sentences that end in a
    question mark, the last of them first, then the last sentence. A sentence that does not fit gives its last tokens, from the
    clause on that asks.
    """
    if len(tokenizer.encode(question).ids) <= longest:
        return [question]
    cuts = [0, *(cut.end() for cut in CUT.finditer(question) if cut.end() < len(question)), len(question)]
    places = list(pairwise(cuts))
    asking = [n for n, (a, b) in enumerate(places) if question[a:b].rstrip("\"'”’) \n\t").endswith(ASKING)]
    wanted = list(dict.fromkeys([*reversed(asking), len(places) - 1]))[:most]
    return [_window(question, places, n, tokenizer, longest) for n in wanted]


def _window(question: str, places: list[tuple[int, int]], last: int, tokenizer: Tokenizer, longest: int) -> str:
    end = places[last][1]
    first = last
    while first and len(tokenizer.encode(question[places[first - 1][0] : end]).ids) <= longest:
        first -= 1
    start = places[first][0]
    spans = tokenizer.encode(question[start:end]).spans
    if len(spans) > longest:
        start += spans[-longest][0]
        clauses = [cut.end() for cut in CLAUSE.finditer(question, start, end) if ASKED.search(question, cut.end(), end)]
        start = clauses[-1] if clauses else start
    return question[start:end].strip()
