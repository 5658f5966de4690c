"""Things that a conversation speaks of, read from the noun phrases of its questions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmgen.pipelines.rag.followups import english
from mmgen.pipelines.rag.followups.phrases import NounPhrase, TaggedWord

ASKED_FOR = 1.0  # weight of what a question asks for, "which ship"; lighter ones are in focus only if nothing was before
COMPARED = frozenset("difference differences differ compare compared same similar vs versus different".split())  # noqa: SIM905


@dataclass(frozen=True)
class Topic:
    """Something that was spoken of."""

    text: str  # as it is put into a question
    core: str  # without its determiner
    head: str
    plural: bool
    name: bool
    person: bool = False
    perhaps: bool = False  # a person, by the looks of the name
    either: bool = False  # stands for one or many: "a nurse"
    weight: float = 0.0
    turn: int = 0

    @property
    def words(self) -> frozenset[str]:
        return words_of(self.core)

    @property
    def joined(self) -> bool:
        """Whether it is two things; see `pair`."""
        return " and " in self.core

    @property
    def possessive(self) -> str:
        return possessive(self.text)

    def instead_of(self, pronoun: str) -> str:
        """As it stands in the place of "it", "they" or "he"."""
        return numbered(self.core, plural=True) if pronoun == "they" and self.either else self.text


def numbered(noun: str, plural: bool) -> str:
    """In that number; a name such as "B12" has none."""
    if noun[-1:].isdigit():
        return noun
    if plural and not english.is_plural(noun):
        return (
            f"{noun[:-1]}ies"
            if re.search(r"[^aeiou]y$", noun)
            else noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")
        )
    if plural:
        return noun
    return english.singular(noun)


def possessive(noun: str) -> str:
    return noun + ("'" if noun.endswith("s") else "'s")


def words_of(text: str) -> frozenset[str]:
    """In lower case and the singular."""
    return frozenset(english.singular(word.lower()) for word in re.findall(r"\w+", text))


def relational(token: TaggedWord) -> bool:
    """Whether a noun is of something, which has to be said."""
    return english.singular(token.low) in english.RELATIONAL or token.low in english.RELATIONAL or token.low in english.VAGUE


def topic_of(phrase: NounPhrase, found: Sequence[TaggedWord]) -> Topic:
    """What a phrase of the question stands for."""
    first, head = found[phrase.first], found[phrase.head]
    text = phrase.core if first.tag == "D" and first.low not in ("the", "a", "an") else phrase.text
    who = found[0].low == "who" and phrase.first == 2 and phrase.name and found[1].low in english.BE
    person = who or head.low in english.PERSON_NOUNS or first.low in english.TITLES
    either = first.low in ("a", "an") or (phrase.name and not phrase.plural and head.text.isupper())
    return Topic(text, phrase.core, head.text, phrase.plural, phrase.name, person, _looks_human(phrase, first), either)


def _looks_human(phrase: NounPhrase, first: TaggedWord) -> bool:
    words = phrase.core.split()
    named = phrase.name and len(words) in (2, 3) and all(word[:1].isupper() for word in words)
    if not named or phrase.plural or first.tag == "D" or phrase.role in english.LOCATIVES:
        return False
    return words[-1].lower() not in english.COMMON_IN_NAMES


def pair(ranked: Sequence[Topic], found: Sequence[TaggedWord], phrases: Sequence[NounPhrase], turn: int) -> list[Topic]:
    """Two things that were compared or joined by "and", as one plural."""
    firm = [one for one in ranked if one.weight > ASKED_FOR]
    compared = any(token.low in COMPARED for token in found)
    joined = next((one for one in phrases if one.role == "and" and found[one.first - 1].low == "and"), None)
    if len(firm) < 2 or not (compared or joined):
        return []
    a, b = firm[:2]
    if joined and not compared:
        spots = {one.core: number for number, one in enumerate(phrases)}
        if b.core != joined.core or spots.get(a.core, -9) != phrases.index(joined) - 1:
            return []
    weight = max(a.weight, b.weight) - 0.1
    return [
        Topic(f"{a.text} and {b.text}", f"{a.core} and {b.core}", b.head, True, a.name and b.name, weight=weight, turn=turn)
    ]
