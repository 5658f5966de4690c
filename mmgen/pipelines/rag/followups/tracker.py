"""What a conversation is about: which of its topics is in focus, and which one a pronoun means.

After centering theory (Grosz, Joshi, Weinstein 1995): the phrases of a turn are ranked by their grammatical role; what the
turn before was about stays in focus as long as it is spoken of, until something is introduced ("tell me about ...") or stands
higher.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from mmgen.pipelines.rag.followups import english
from mmgen.pipelines.rag.followups.phrases import NounPhrase, TaggedWord, noun_phrases, tokens
from mmgen.pipelines.rag.followups.topics import ASKED_FOR, Topic, numbered, pair, relational, topic_of, words_of

INTRODUCED, CONTINUED, SUBJECT, OBJECT, OBLIQUE, RELATION = 5.0, 3.5, 3.0, 2.5, 1.5, 0.5
NAMED = 1.5  # more
CAPITAL = r"[A-Z][\w’'\-]*"
NAME = re.compile(
    rf"\b{CAPITAL}\.?(?:\s+(?:(?:of|the|de|von|van|da|della|du|la|le|der|den|del|di|al)\s+)*(?:{CAPITAL}|\d+\b))*"
)
INTRODUCING = re.compile(
    r"^(?:(?:can you |please |could you )?(?:tell me (?:more )?about|describe|explain|define)"
    r"|(?:what|who)(?:\s+is|\s+are|\s+was|\s+were|['’]s)|(?:what|how) about|what does it mean to be)\b",
    re.IGNORECASE,
)
PLACED = re.compile(r"(?:in|at|on|near|to|off|from|inside|under|outside)\b", re.IGNORECASE)
DATED = re.compile(r"(?:in|on|at|around|about|after|before|by)\b", re.IGNORECASE)
DATE = re.compile(r"(?:in |on )?[\w ,]{0,20}?\b\d{3,4}(?: (?:BC|AD))?", re.IGNORECASE)
OPENING = re.compile(r"^(?:The|A|An|In|On|At|He|She|It|They|This|That)\s+")
MOST_ANSWER = 400
"""Characters of an answer that are read."""
SHORT = 6
"""Words of an answer that names one thing."""


class Topics:
    """Those of a conversation, turn by turn."""

    def __init__(self) -> None:
        self.turn = 0
        self.focus: Topic | None = None
        self.foci: list[Topic] = []  # a turn each
        self.all: list[Topic] = []  # oldest first
        self.place: str = ""  # "in Rosetta"
        self.placed = 0  # the turn in which it was named
        self.time: str = ""  # "in 1799"
        self.question = ""  # the last one, standing alone
        self.people: set[str] = set()  # names that "he" or "she" stood for

    @property
    def firm(self) -> bool:
        """Whether the focus was introduced, named, or spoken of before: what a question leaves out is that."""
        if self.focus is None:
            return False
        often = len({one.turn for one in self.all if one.words == self.focus.words}) > 1
        return self.focus.name or self.focus.weight >= INTRODUCED or often

    def observe(self, question: str, whole: str = "", used: Sequence[Topic] = (), answer: str = "") -> None:
        """A turn.

        question: as it was asked, or in full where it was a part of the one before.
        whole: as it stands alone.
        used: what its pronouns meant, and what was added.
        answer: what was answered.
        """
        self.turn += 1
        found = tokens(question)
        if not any(token.tag in "WX" for token in found) and not INTRODUCING.match(question) and "?" not in question:
            return  # "Thank you!"
        phrases = noun_phrases(found, question)
        ranked = self._ranked(question, found, phrases, used)
        ranked += pair([*used, *ranked], found, phrases, self.turn)
        self.all += [*(replace(one, turn=self.turn, weight=max(one.weight, CONTINUED)) for one in used), *ranked]
        best = max(ranked, key=lambda one: one.weight, default=None)
        kept = max(used, key=lambda one: sum(one.words == other.words for other in self.foci), default=None)
        if kept is not None:
            self.focus = kept
        elif best is not None and (best.weight >= OBJECT or self.focus is None):
            self.focus = best
        for phrase in phrases:
            moved = phrase.role in ("to", "from") and english.lemma(found[phrase.first - 2].low) in english.MOTION
            if phrase.name and (moved or phrase.role in ("in", "at", "on")):
                self.place, self.placed = f"{'in' if moved else phrase.role} {phrase.text}", self.turn
        if answer:
            self._observe_answer(found, answer)
        if self.focus is not None:
            self.foci.append(self.focus)
        self.question = whole or question

    def meant(self, pronoun: str, besides: Sequence[Topic] = ()) -> Topic | None:
        """What "it", "they" or "he" (for all forms of them) stands for."""
        last = sorted((one for one in self.all if one.turn == self.turn), key=lambda one: -one.weight)
        recent = ([self.focus] if self.focus else []) + [one for one in last if one.weight >= ASKED_FOR] + self.foci[::-1]
        options = [one for one in recent if all(one.core != other.core for other in besides)]
        if pronoun == "he":
            every = [*options, *self.all[::-1]]
            return next((one for one in every if one.person), next((one for one in every if one.perhaps), None))
        options = [one for one in options if not one.person and one.core not in self.people] or options
        fits = [one for one in options if one.either or one.plural == (pronoun == "they")]
        if pronoun == "it" and not fits and options:
            return _kind(options[0])
        return next(iter(fits or options), None)

    def two(self) -> str:
        """What "the two" are: two things that were joined or compared in the last turn, else the last two names that were in
        focus one after the other; empty where there are none."""
        joined = next((one for one in reversed(self.all) if one.joined and one.turn == self.turn), None)
        if joined is not None:
            return joined.text
        names = list(dict.fromkeys(one.text for one in self.foci[::-1] if one.name and not one.plural))[:2]
        return " and ".join(names[::-1]) if len(names) == 2 else ""

    def there(self) -> str:
        """What "there" stands for: the last place; or a name that came into focus since and is no person's."""
        focus = self.focus
        if focus is not None and focus.name and not focus.person and focus.turn > self.placed and focus.weight >= INTRODUCED:
            return f"in {focus.text}"
        return self.place

    def longer(self, core: str, head: str, plural: bool) -> Topic | None:
        """The last that has the same head and says more."""
        own, last = words_of(core), english.singular(head.lower())
        for one in reversed(self.all):
            same = english.singular(one.head.lower()) == last and one.plural == plural
            if same and own < one.words and one.weight > RELATION:
                return one
        return None

    def abbreviated(self, letters: str) -> Topic | None:
        """The last whose words begin with these letters."""
        for one in reversed(self.all):
            initials = "".join(word[0] for word in re.findall(r"[A-Za-z]\w*", re.sub(r"['’]s\b", "", one.core)))
            if initials.lower() == letters.lower() and not one.core.isupper():
                return one
        return None

    def known(self, words: frozenset[str]) -> bool:
        """Whether any of these words belongs to something that was spoken of."""
        return any(words & one.words for one in self.all if one.weight > RELATION)

    def _ranked(
        self, question: str, found: Sequence[TaggedWord], phrases: Sequence[NounPhrase], used: Sequence[Topic]
    ) -> list[Topic]:
        introducing = INTRODUCING.match(question)
        ranked: list[Topic] = []
        for number, phrase in enumerate(phrases):
            weight = self._weight(phrase, found, introducing is not None and number == 0)
            while phrase.inner is not None and relational(found[phrase.head]):
                ranked.append(replace(topic_of(phrase, found), weight=RELATION, turn=self.turn))
                phrase, weight = phrase.inner, max(weight, SUBJECT)
            topic = self._in_full(topic_of(phrase, found))
            if found[phrase.first].tag == "S":
                if not used or relational(found[phrase.head]):
                    continue
                topic = replace(topic, text=f"{used[0].possessive} {topic.core}", core=f"{used[0].core} {topic.core}")
            if {topic.head.lower(), english.singular(topic.head.lower())} & (english.VAGUE | english.PERSONS):
                continue
            if phrase.role not in ("subject", "object", "about") and not topic.name:
                topic = replace(topic, either=False)  # "in a typical rub" is of one
            if relational(found[phrase.head]) and all(token.tag in "DJMA" for token in found[phrase.first : phrase.head]):
                weight = RELATION
            elif topic.name and not (topic.words & english.PLACES and phrase.role in english.LOCATIVES):
                weight += NAMED
            if self.focus is not None and topic.words == self.focus.words:
                weight = max(weight, CONTINUED + NAMED * self.focus.name)
            ranked.append(replace(topic, weight=weight, turn=self.turn))
        return ranked

    def _in_full(self, topic: Topic) -> Topic:
        """An abbreviation as what it stands for, where that was spoken of."""
        letters = topic.core[:-1] if topic.core.endswith("s") else topic.core
        known = self.abbreviated(letters) if 2 <= len(letters) <= 5 and letters.isupper() and letters.isalpha() else None
        if known is None:
            return topic
        core = numbered(known.core, topic.plural)
        return replace(topic, text=core if topic.plural else known.text, core=core, head=core.split()[-1])

    def _weight(self, phrase: NounPhrase, found: Sequence[TaggedWord], introduced: bool) -> float:
        if (phrase.first and found[phrase.first - 1].tag == "W") or found[phrase.first].low in ("many", "much"):
            return ASKED_FOR
        if introduced:
            part = found[phrase.first].low == "the" and phrase.plural | (phrase.inner is not None) and not phrase.name
            if part and self.focus is not None and self.focus.weight >= INTRODUCED:
                return OBJECT  # "the series of manifestos"
            return INTRODUCED if phrase.last >= len(found) - 1 else SUBJECT + NAMED
        return {"subject": SUBJECT, "object": OBJECT, "about": OBJECT, "of": OBJECT}.get(phrase.role, OBLIQUE)

    def _observe_answer(self, found: Sequence[TaggedWord], answer: str) -> None:
        asked = next((token.low for token in found if token.tag == "W"), "")
        answer = " ".join(answer[:MOST_ANSWER].split()).strip().strip('."“”')
        short = len(answer.split()) <= SHORT
        place = asked in ("what", "which") and any(token.low in english.PLACE_NOUNS for token in found)
        if short and (asked == "where" or place):
            self.place, self.placed = answer if PLACED.match(answer) else f"in {answer}", self.turn
        if short and (asked == "when" or DATE.fullmatch(answer)):
            self.time = answer if DATED.match(answer) else f"in {answer}"
        for name in (OPENING.sub("", name) for name in NAME.findall(answer)):
            low = name.lower()
            if (
                low in english.FUNCTION | english.ADVERBS | english.PREPOSITIONS | english.OTHER_PRONOUNS
                or low in english.PRONOUNS
            ):
                continue
            self._answered(name, answer, asked, short, found)

    def _answered(self, name: str, answer: str, asked: str, short: bool, found: Sequence[TaggedWord]) -> None:
        """A name in an answer, which is in focus where the question described a thing: "what was the first ...?" """
        person = short and asked in ("who", "whom", "whose")
        last, perhaps = name.split()[-1], " " in name and asked not in ("where", "when")
        weight = ASKED_FOR + short * NAMED / 2  # a short one comes before what was asked for, "what paper"
        plural = english.is_plural(last) and not person
        named = Topic(name, name, last, plural, True, person, perhaps, weight=weight, turn=self.turn)
        self.all.append(named)
        firm = self.focus is not None and (self.focus.name or self.focus.turn < self.turn)
        if short and asked in ("what", "which") and len(name) >= len(answer) - 4 and _identity(found) and not firm:
            self.focus = replace(named, text=answer if answer.lower().startswith("the ") else name)


def _kind(topic: Topic) -> Topic:
    """What "it" stands for after "lavender plants": lavender."""
    words = topic.core.split()
    if topic.name or not topic.plural or len(words) != 2 or words[0].endswith(english.ADJECTIVE_ENDINGS):
        return topic
    if words[0].lower() in english.ADJECTIVES | english.NUMBERS | english.SUPERLATIVES:
        return topic
    return replace(topic, text=words[0], core=words[0], head=words[0], plural=False)


def _identity(found: Sequence[TaggedWord]) -> bool:
    """Whether a question asks for a thing by its description: "what was the first ...", "which ship ..."."""
    at = next((n for n, token in enumerate(found) if token.tag == "W"), 0)
    after = found[at + 1 : at + 3]
    return len(after) == 2 and (after[0].low in english.BE or after[0].tag in ("N", "J"))
