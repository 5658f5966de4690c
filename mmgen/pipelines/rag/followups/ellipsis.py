"""Questions that are a part of the one before: "what about goats?", "and in 1998?", "why?"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from mmgen.pipelines.rag.followups import english
from mmgen.pipelines.rag.followups.phrases import NounPhrase, TaggedWord, noun_phrases, tokens
from mmgen.pipelines.rag.followups.topics import relational
from mmgen.pipelines.rag.followups.tracker import INTRODUCING, Topics

ABOUT = re.compile(r"^(?:(?:and|but|so|or|ok|okay)[, ]+)*(?:what|how) about\s+", re.IGNORECASE)
AND = re.compile(r"^(?:and|but|or)[, ]+", re.IGNORECASE)
MEASURES = "many|much|long|far|often|big|tall|high|old|fast|large"
ONLY = re.compile(
    rf"^(?:(?:and|but|so|or)[, ]+)*(why(?: not)?|(?:for )?how(?: (?:{MEASURES}))?|when|where|who|by whom|since when"
    r"|(?:in )?(?:what|which) (?:year|month|century|country|city|place))(?:,? (?:so|then|exactly))?\s*\?*$",
    re.IGNORECASE,
)


def completed(question: str, found: Sequence[TaggedWord], topics: Topics) -> str | None:
    """The whole question; None where it is no part of the one before, or nobody can tell of which part."""
    if only := ONLY.match(question.strip()):
        return _asked_again(only[1], topics)
    about = ABOUT.match(question) or AND.match(question)
    if about is None and found[0].tag == "R" and not any(token.tag in "XVWP" for token in found):
        about = re.match("", question)  # "In 1998?"
    if about is None:
        return None
    rest = question[about.end() :].rstrip(" ?.!")
    own = tokens(rest)
    if own and own[0].tag == "R":
        rest = rest[:1].lower() + rest[1:]
    if not own or any(token.tag in "XVW" or token.tag == "P" or token.low in english.POSSESSIVES for token in own):
        return None
    return _replaced(rest, own, topics) or _added(question, rest, own, topics)


def _replaced(rest: str, own: Sequence[TaggedWord], topics: Topics) -> str | None:
    """The question before, with its like phrase replaced by `rest`."""
    before = topics.question
    if INTRODUCING.match(before) and not _specific(before):
        return None
    found = tokens(before)
    phrases = _all(noun_phrases(found, before))
    start, end = None, None
    if own[0].tag == "R":
        place = own[0].low in english.LOCATIVES
        year = any(token.tag == "M" for token in own)
        for phrase in phrases:
            if phrase.first and (prior := found[phrase.first - 1]).tag == "R":
                same = prior.low == own[0].low or (place and prior.low in english.LOCATIVES)
                if same and year == any(token.tag == "M" for token in found[phrase.first : phrase.last]):
                    start, end = prior.start, found[phrase.last - 1].end
        if start is None and year:
            for at, token in enumerate(found):
                if token.tag == "M" and at and found[at - 1].low == own[0].low:
                    start, end = found[at - 1].start, token.end
        if start is None and own[0].low in english.LOCATIVES | {"after", "before", "during", "since", "until"}:
            start = end = len(before.rstrip(" ?.!"))
            rest = f" {rest}"
    else:
        mine = noun_phrases(own, rest)
        if len(mine) != 1 or mine[0].last < len(own):
            return None
        like = _like(replace(mine[0], name=mine[0].core[:1].isupper()), own, phrases, found, topics)
        if like is not None:
            start, end = found[like.first].start, found[like.last - 1].end
    if start is None or end is None:
        return None
    whole = before[:start] + rest + before[end:]
    return whole[:1].upper() + whole[1:]


def _like(
    mine: NounPhrase, own: Sequence[TaggedWord], phrases: Sequence[NounPhrase], found: Sequence[TaggedWord], topics: Topics
) -> NounPhrase | None:
    """The phrase of the question before in whose place this one comes."""
    if mine.name and any(token.low == "between" for token in found):
        return None  # it may come in the place of either, or be a new topic
    head = english.singular(own[mine.head].low)
    for phrase in phrases:
        if english.singular(found[phrase.head].low) == head and phrase.words != mine.words:
            return phrase
    if mine.words & frozenset().union(*(phrase.words for phrase in phrases)):
        shared = [phrase for phrase in phrases if phrase.words & mine.words and phrase.words != mine.words]
        return shared[0] if len(shared) == 1 and shared[0].name else None
    if mine.name:
        names = [phrase for phrase in phrases if phrase.name and phrase.inner is None]
        if len(names) > 1 and topics.focus is not None:
            names = [phrase for phrase in names if phrase.words != topics.focus.words]
        return names[-1] if len(names) == 1 else None
    if relational(own[mine.head]):
        same = [phrase for phrase in phrases if relational(found[phrase.head]) and phrase.inner is None]
        return same[0] if len(same) == 1 and own[mine.first].tag == found[same[0].first].tag else None
    focus = topics.focus
    same = [phrase for phrase in phrases if focus is not None and phrase.words == focus.words]
    if same and same[0].plural == mine.plural and own[mine.first].low == found[same[0].first].low:
        return same[0]
    return None


def _added(question: str, rest: str, own: Sequence[TaggedWord], topics: Topics) -> str | None:
    """ "What about the symptoms?": of what the conversation is about."""
    mine = noun_phrases(own, rest)
    if (
        len(mine) != 1
        or topics.focus is None
        or mine[0].core[:1].isupper()
        or mine[0].inner
        or not relational(own[mine[0].head])
    ):
        return None
    if mine[0].words & topics.focus.words or own[0].tag == "R" or mine[0].last < len(own):
        return None
    return f"{question.rstrip(' ?.!')} of {topics.focus.text}?"


def _specific(question: str) -> bool:
    """Whether an introducing question asks something of its topic, such as its capital."""
    found = tokens(question)
    first = next(iter(noun_phrases(found, question)), None)
    return first is not None and (relational(found[first.head]) or first.last < len(found) - 1)


def _all(phrases: Sequence[NounPhrase]) -> list[NounPhrase]:
    """With those behind "of", each after the one that it belongs to."""
    every: list[NounPhrase] = []
    for phrase in phrases:
        one: NounPhrase | None = phrase
        while one is not None:
            every.append(one)
            one = one.inner
    return every


def _asked_again(word: str, topics: Topics) -> str | None:
    """The question before, with this question word."""
    before = topics.question.rstrip(" ?.!")
    word = word[:1].upper() + word[1:].lower()
    found = tokens(before)
    aux = next((at for at, token in enumerate(found) if token.tag == "X"), None)
    lead = next((token for token in found[:2] if token.tag == "W"), None)
    if word.lower() in ("how many", "how much"):
        return _counted(word, before, found)
    if aux == 0:
        return f"{word} {before[:1].lower()}{before[1:]}?"
    if aux is not None and lead is not None and not (word.lower() == "who" and lead.low == "who"):
        nominal = found[aux].low in english.BE and not any(token.tag == "V" for token in found[aux:])
        if not (nominal and lead.low in ("what", "who", "which")):
            return f"{word} {before[found[aux].start :]}?"
    if aux is None and found and found[0].tag == "W":
        return _passive(word, before, found)
    if word.lower() in ("when", "where") and topics.focus is not None:
        return f"{word} {'were' if topics.focus.plural else 'was' if word == 'When' else 'is'} {topics.focus.text}?"
    return None


def _counted(word: str, before: str, found: Sequence[TaggedWord]) -> str | None:
    """ "Did it win any awards?" - "How many?" """
    for phrase in noun_phrases(found, before):
        first = found[phrase.first]
        if phrase.role != "subject" and (first.low in ("any", "some") or phrase.plural) and found[0].tag == "X":
            start, end = first.start, found[phrase.last - 1].end
            rest = " ".join(f"{before[:start]} {before[end:]}".split())
            return f"{word} {phrase.core} {rest[:1].lower()}{rest[1:]}?"
    return None


def _passive(word: str, before: str, found: Sequence[TaggedWord]) -> str | None:
    """ "Who found the stone?" - "When?": "When was the stone found?" """
    verb = next((at for at, token in enumerate(found) if token.tag == "V"), None)
    if verb is None or found[verb].low == english.lemma(found[verb].low):
        return None
    phrases = [phrase for phrase in noun_phrases(found, before) if phrase.first == verb + 1]
    past = found[verb].low
    if not phrases or past.endswith(("s", "ing")):
        return None
    base = english.lemma(past)
    participle = next((one for one in english.PARTICIPLES if english.IRREGULAR.get(one) == base), past)
    rest = before[found[phrases[0].last - 1].end :]
    return f"{word} {'were' if phrases[0].plural else 'was'} {phrases[0].text} {participle}{rest}?"
