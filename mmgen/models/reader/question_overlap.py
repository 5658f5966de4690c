"""What a question says that a passage does not: signs that the passage, however alike, is about something else."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mmgen.function_words import FUNCTION_WORDS
from mmgen.models.reader.answer_kinds import asked_kind, is_kind
from mmgen.models.reader.answer_words import PRICED
from mmgen.models.reader.antonyms import ANTONYMS

WORD = re.compile(r"\w+(?:['’]\w+)?")
NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
NEGATION = re.compile(
    r"\b(?:not|no|never|nobody|nothing|without|none|nor|neither|cannot|isn|aren|wasn|weren|don|doesn|didn|won)\b|n['’]t\b", re.I
)
ASKING = FUNCTION_WORDS | frozenset(
    """name many much kind type long often happen happened happens say said does year call called
    old many any some first last most least""".split()  # noqa: SIM905  a list of words
)


@dataclass(frozen=True)
class Overlap:
    """Counts of a question against the passage that is to answer it."""

    names: int  # its names and numbers that the passage does not have
    words: float  # share of its other content words that the passage does not have, 0 to 1
    near: float  # share of all its content words that are not within NEAR characters of the answer, 0 to 1
    negation: int  # 1: one of question and neighbourhood denies, the other does not
    opposed: int = 0  # its words of which the answer's sentence has the opposite, and its numbers that the sentence has not


NEAR = 200


def overlap(question: str, passage: str, start: int, end: int) -> Overlap:
    """Compares by word stems, without regard to case. That a price is asked is said by an answer that is one.

    Args:
        start, end: the answer, `passage[start:end]`.
    """
    around = passage[max(0, start - NEAR) : end + NEAR]
    have, close = stems(passage), stems(around)
    names, words = [], []
    priced = asked_kind(question) == "price" and is_kind("price", passage[start:end], around)
    for n, match in enumerate(WORD.finditer(question)):
        word = match.group()
        if word[0].isdigit() or (n and word[0].isupper()):
            names.append(_stem(word))
        elif word.lower() not in ASKING and len(word) > 2 and not (priced and PRICED.match(word)):
            words.append(_stem(word))
    every = names + words
    denied = NEGATION.search(question) is not None
    sentence = passage[passage.rfind(". ", 0, start) + 1 : (passage.find(". ", end) + 1 or len(passage))]
    said = stems(sentence)
    turned = sum(
        _stem(w) not in said and any(_stem(o) in said for o in ANTONYMS.get(w.lower(), ())) for w in WORD.findall(question)
    )
    return Overlap(
        sum(name not in have for name in names),
        sum(word not in have for word in words) / len(words) if words else 0.0,
        sum(word not in close for word in every) / len(every) if every else 0.0,
        int(denied != (NEGATION.search(sentence) is not None)) if denied else 0,
        turned + sum(name not in said for name in names if name[0].isdigit()),
    )


def stems(text: str) -> set[str]:
    """A text's words, lower case and without an ending of English."""
    return {_stem(word) for word in WORD.findall(text)}


def content_stems(question: str) -> set[str]:
    """The same of a question's words that say what it is about."""
    return {_stem(word) for word in WORD.findall(question) if word.lower() not in ASKING}


def _stem(word: str) -> str:
    """Lower case without an ending of English; digits as they are."""
    word = re.sub(r"['’]s$", "", word.lower())
    for ending in ("ations", "ation", "ings", "ing", "ies", "ied", "ers", "ed", "es", "er", "ly", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
