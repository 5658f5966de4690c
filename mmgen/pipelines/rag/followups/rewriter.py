"""Follow-up questions rewritten so that they stand alone: pronouns become what they mean, a topic that is missing is added.

What stands alone already is left as it is, to the letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mmgen.pipelines.rag.followups import ellipsis, english, missing
from mmgen.pipelines.rag.followups.phrases import NounPhrase, TaggedWord, noun_phrases, tokens
from mmgen.pipelines.rag.followups.topics import Topic, numbered, possessive, relational
from mmgen.pipelines.rag.followups.tracker import Topics

LONGEST = 500
"""Characters of a question that can lean on others; a longer one stands alone."""
EXPLETIVE = re.compile(
    r"\bit\s+(?:takes?|took|costs?|means?|possible|necessary|true|like|legal|safe|hard|easy|important|better|best|worth|ok|okay|common"
    r"|normal|good|bad)\b[^?]*?\b(?:to|that)\b|\btime is it\b|\bit (?:rains?|snows?|raining|snowing)\b",
    re.IGNORECASE,
)

BOTH = re.compile(
    r"\bbetween\s+(them|the two|these two|those two|(?:the|these|those|the two|these two)\s+[a-z]+(?<!ss)s)(?=\s*(?:[?.!]|$))",
    re.IGNORECASE,
)
CONDITION = re.compile(r"\bif\b", re.IGNORECASE)


@dataclass(frozen=True)
class Turn:
    """A question of the conversation and what was answered, "" where nothing was."""

    question: str
    answer: str = ""


@dataclass(frozen=True)
class Rewrite:
    """A question as it stands alone."""

    text: str
    asked: str  # in full where it was a part of the one before, otherwise as it was asked
    used: tuple[Topic, ...] = ()  # what its pronouns mean, and what was added


def standalone(question: str, history: Iterable[Turn]) -> str:
    """The question as it can be understood without the turns before it; to the letter as it was where it can be so already."""
    topics = Topics()
    for turn in history:
        observe(turn, topics)
    return rewrite(question, topics).text


def observe(turn: Turn, topics: Topics) -> None:
    """Goes on to the next turn."""
    whole = rewrite(turn.question[:LONGEST], topics)
    topics.observe(whole.asked, whole.text, whole.used, turn.answer)


def rewrite(question: str, topics: Topics) -> Rewrite:
    """With these topics in mind."""
    if topics.focus is None or len(question) > LONGEST:
        return Rewrite(question, question)
    found = tokens(question)
    if not any(token.tag in "WXDSPRC" for token in found):
        return Rewrite(question, question)  # not English, or no question
    if (whole := ellipsis.completed(question, found, topics)) is not None:
        return Rewrite(whole, whole)
    made = _Rewriting(question, found, topics)
    return Rewrite(made.text(), question, tuple(made.used))


class _Rewriting:
    """One question's."""

    def __init__(self, question: str, found: list[TaggedWord], topics: Topics) -> None:
        self.question, self.found, self.topics = question, found, topics
        self.phrases = noun_phrases(found, question)
        self.edits: dict[tuple[int, int], str] = {}  # by the characters that they replace
        self.used: list[Topic] = []
        self.named = False  # a phrase now says in full what it means

    def text(self) -> str:
        self._both()
        self._pronouns()
        self._phrases()
        if not (self.used or self.named or self.topics.focus is None):
            added = missing.addition(self.found, self.phrases, self.topics)
            if added is not None:
                self.edits[added[0], added[0]] = added[1]
                self.used.append(self.topics.focus)
        out, last = "", 0
        for (start, end), replacement in sorted(self.edits.items(), key=lambda edit: (edit[0][0], -edit[0][1])):
            if start < last:  # within one that says more
                continue
            out, last = out + self.question[last:start] + replacement, end
        out += self.question[last:]
        return out[:1].upper() + out[1:] if self.question[:1].isupper() else out

    def _both(self) -> None:
        """ "The difference between the two": what these are."""
        between = BOTH.search(self.question)
        if between and (two := self.topics.two()):
            self.edits[between.span(1)] = two
            self.named = True

    def _pronouns(self) -> None:
        seen: dict[str, Topic] = {}
        for at, token in enumerate(self.found):
            kind = self._kind(at, token)
            if kind is None or kind in seen or self._within(at, kind):
                continue
            topic = self.topics.meant(kind, list(seen.values()))
            if topic is None or (at and self.found[at - 1].low == "between"):
                continue
            seen[kind] = topic
            if kind == "he":
                self.topics.people.add(topic.core)
            self.used.append(topic)
            text = topic.instead_of(kind)
            self.edits[token.start, token.end] = possessive(text) if token.tag == "S" else text
        self._places_and_times()

    def _kind(self, at: int, token: TaggedWord) -> str | None:
        """Which pronoun a token is: "it", "they", "he", or none that stands for a topic."""
        low = token.low
        if token.tag == "S":
            return english.POSSESSIVES.get(low)
        if token.tag != "P":
            return None
        if low in ("this", "that"):
            return None if CONDITION.search(self.topics.question) else "it"  # what would happen, not a thing
        if low in ("these", "those"):
            return "they"
        if low == "one":
            return "it"
        if low == "it" and EXPLETIVE.search(self.question[token.start - min(token.start, 8) :]):
            return None
        kind = english.PRONOUNS.get(low)
        return "he" if kind == "she" else kind

    def _within(self, at: int, kind: str) -> bool:
        """Whether the pronoun means something that the same question said in a clause before."""
        for phrase in self.phrases:
            if phrase.last > at:
                break
            between = self.found[phrase.last : at]
            clause = any(token.tag in "CW" or token.text in ",;?" for token in between)
            if not clause or phrase.role in english.LOCATIVES or self.found[phrase.first].tag == "S":
                continue
            if kind == "he" and (phrase.name or self.found[phrase.head].low in english.PERSON_NOUNS):
                return True
            if kind == "they" and phrase.plural:
                return True
            if kind == "it" and not phrase.plural and not relational(self.found[phrase.head]):
                return True
        return False

    def _places_and_times(self) -> None:
        for at, token in enumerate(self.found):
            before = self.found[at - 1] if at else None
            after = self.found[at + 1] if at + 1 < len(self.found) else None
            if before is None or (after is not None and after.text[0].isalnum() and after.tag not in "RC"):
                continue
            if token.low == "there" and before.low not in english.AUXILIARIES and (place := self.topics.there()):
                self._insert(token, place, before.tag == "R")
            if (
                token.low == "then"
                and (after is None or not after.text[0].isalnum())
                and self.topics.time
                and before.tag != "R"
            ):
                self._insert(token, self.topics.time, False)

    def _insert(self, token: TaggedWord, phrase: str, bare: bool) -> None:
        self.edits[token.start, token.end] = phrase.split(" ", 1)[1] if bare and " " in phrase else phrase
        self.named = True

    def _phrases(self) -> None:
        """Phrases that say less than one before: "the experiment", "this disease", "a PA"."""
        for phrase in every(self.phrases):
            span = self.found[phrase.first].start, self.found[phrase.last - 1].end
            for token in self.found[phrase.first : phrase.last]:
                letters = token.text[:-1] if token.text.endswith("s") else token.text
                if (
                    2 <= len(letters) <= 5
                    and letters.isupper()
                    and letters.isalpha()
                    and (full := self.topics.abbreviated(letters))
                ):
                    self.edits[token.start, token.end] = numbered(full.core, letters != token.text)
                    self.named = True
            first = self.found[phrase.first]
            if phrase.inner is not None or first.low not in {"the", *english.DEMONSTRATIVES} or phrase.head != phrase.last - 1:
                continue
            head = self.found[phrase.head].text
            known = self.topics.longer(phrase.core, head, phrase.plural)
            if known is not None and len(phrase.core.split()) == 1:
                self.edits[span] = (
                    known.text if known.text != known.core or (known.name and first.low != "the") else f"the {known.core}"
                )
                self.used.append(known)
            elif first.low in english.DEMONSTRATIVES and not phrase.name:
                self._pointed(phrase, span)

    def _pointed(self, phrase: NounPhrase, span: tuple[int, int]) -> None:
        """ "This breed": the topic itself, where it can be one; otherwise the topic's."""
        kind = "they" if phrase.plural else "it"
        topic = self.topics.meant(kind, self.used)
        if topic is None or topic.words & phrase.words:
            return
        of_it = phrase.plural != topic.plural or relational(self.found[phrase.head])
        self.edits[span] = f"the {phrase.core} of {topic.text}" if of_it else topic.text
        self.used.append(topic)


def every(phrases: Sequence[NounPhrase]) -> Iterator[NounPhrase]:
    """With those behind "of", each after the one that it belongs to."""
    for phrase in phrases:
        one: NounPhrase | None = phrase
        while one is not None:
            yield one
            one = one.inner
