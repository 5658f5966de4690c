"""Whether a price, a time or a number is said of what was asked: "entry is free" is not what the hygrometer cost.

English, German, French and Spanish.
"""

from __future__ import annotations

import re

from mmgen.models.reader.answer_kinds import Kind
from mmgen.models.reader.answer_words import PAID, UNPAID
from mmgen.models.reader.contradictions import SENTENCE, around
from mmgen.models.reader.question_overlap import ASKING, stems
from mmgen.models.reader.table_records import cell_at

WORD = re.compile(r"[^\W\d_]+")
ENGLISH = re.compile(r"\b(?:how|what|which)\b", re.I)
ASKED = re.compile(
    r"(?:cuánt|cuest|cost|kost|coût|cout|pric|prei|prec|prix|pay|paid|paga|zahl|bezahl|worth|vale|vaut|expensive|teuer|hoch|"
    r"viel|wann$|wieviel|quand$|cuándo|combien|quel|cuál|eine?[mnrs]?$|pour$|dans$|avec$|para$|wird$|sind$|waren$|sont$|était$|"
    r"hour$|day$|stunde$|heure$|hora$)",
    re.I,
)
"""Words of the question that say what kind of answer is asked for, not of what."""
LEANING = re.compile(
    r"^\W*(?:(?:and|but|und|aber|et|mais|y|pero) )?(?:it|its|they|their|them|this|these|that|those|each|both|one|he|she|his|"
    r"her|er|sie|es|dies\w*|sein\w*|ihr\w*|il|elle|ils|elles|ce|cette|cela|son|sa|leur|este|esta|estos|estas|ella|ellos|su)\b"
    r"|\b(?:it|them|their|its)\b",
    re.I,
)
"""A sentence whose subject may stand in one before it."""
COSTS = re.compile(r"\W*(?:costs?|cuestan?|costó|costaron|coûten?t?|kosten?t?)\b", re.I)
"""A sentence without a subject, as of notes and of Spanish."""
PART = re.compile(r"[;,]\s|\s(?:and|but|while|und|aber|et|mais|y|pero)\s")


def of_another(kind: Kind, question: str, passage: str, start: int, end: int) -> bool:
    """Whether the passage speaks of what was asked, but the price, time or number `passage[start:end]` is said of something
    else: its sentence names nothing that was asked, or of a price another part of it, with another price, names more."""
    asked = _subjects(question)
    sentence = around(passage, start, end, SENTENCE)
    if not kind or not asked or cell_at(passage, start):
        return False
    if not _named(asked, sentence):
        return not LEANING.search(sentence) and not COSTS.match(sentence) and bool(_named(asked, passage))
    if kind not in ("price", "amount"):
        return False
    first = max((cut.end() for cut in SENTENCE.finditer(passage, 0, start)), default=0)
    parts = [(first + a, first + b) for a, b in _parts(sentence)]
    own = next((part for part in parts if part[0] <= start < part[1]), parts[0])
    said = _named(asked, passage[slice(*own)])
    others = [passage[a:b] for a, b in parts if (a, b) != own]
    return any((PAID.search(other) or UNPAID.search(other)) and said < _named(asked, other) for other in others)


def _parts(sentence: str) -> list[tuple[int, int]]:
    cuts = [0, *(place for cut in PART.finditer(sentence) for place in cut.span()), len(sentence)]
    return list(zip(cuts[::2], cuts[1::2], strict=True))


def _subjects(question: str) -> set[str]:
    """The question's words that say of what it asks, lower case."""
    shortest = 3 if ENGLISH.search(question) else 4
    words = {word.lower() for word in WORD.findall(question)}
    return {word for word in words if len(word) >= shortest and word not in ASKING and not ASKED.match(word)}


def _named(asked: set[str], text: str) -> set[str]:
    """Which of the words the text has, with whatever ending."""
    have = stems(text)
    begun = {word[:5] for word in have}
    return {word for word in asked if not stems(word).isdisjoint(have) or (len(word) > 5 and word[:5] in begun)}
