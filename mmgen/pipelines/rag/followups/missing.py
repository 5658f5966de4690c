"""Questions that leave out what they are about: "what are the main causes?", "how many are there?", "who won?"."""

from __future__ import annotations

from collections.abc import Sequence

from mmgen.pipelines.rag.followups import english
from mmgen.pipelines.rag.followups.phrases import NounPhrase, TaggedWord
from mmgen.pipelines.rag.followups.topics import Topic, relational
from mmgen.pipelines.rag.followups.tracker import Topics

Addition = tuple[int, str]
"""The character before which words are put, and the words."""
COMPLEMENTS = frozenset({"of", "for", "between", "behind", "to"})
MOST_TOKENS = 9
"""Of a question in which "the system" is taken for one of the topic's."""


def addition(found: Sequence[TaggedWord], phrases: Sequence[NounPhrase], topics: Topics) -> Addition | None:
    """What has to be added of the topic in focus; None where the question names something of its own."""
    topic = topics.focus
    if topic is None or not topics.firm:
        return None
    if (like := _similar(found, phrases, topic)) is not None:
        return like
    if any(topic.words & phrase.words for phrase in phrases):
        return None
    if any(token.tag == "P" and token.low in {*english.PRONOUNS, *english.DEMONSTRATIVES} for token in found):
        return None
    if (lacking := _role(found, phrases, topic) or _compared(found, phrases, topic)) is not None:
        return lacking
    if _own(found, phrases):
        return None
    return (
        _superlative(found, topic)
        or _counted(found, topic)
        or _relation(found, phrases, topic, topics)
        or _bare(found, phrases, topic)
    )


def _own(found: Sequence[TaggedWord], phrases: Sequence[NounPhrase]) -> bool:
    """Whether a phrase names something that is not the topic's."""
    for phrase in phrases:
        if phrase.first == 1 and found[0].tag == "W" and not phrase.name and phrase.inner is None:
            continue  # "which empires ..."
        if phrase.name and not (phrase.words & english.PLACES and phrase.role in english.LOCATIVES):
            return True
        definite = found[phrase.first].low == "the" or relational(found[phrase.head])
        if phrase.inner is not None or not (definite or phrase.name or phrase.role in english.LOCATIVES | {"for", "per"}):
            return True
    return False


def _role(found: Sequence[TaggedWord], phrases: Sequence[NounPhrase], topic: Topic) -> Addition | None:
    """ "What is the role of brain chemicals?" """
    if not phrases or phrases[0].inner is None or english.singular(found[phrases[0].head].low) not in english.PARTS_PLAYED:
        return None
    end = phrases[0].last
    return (found[end - 1].end, f" in {topic.text}") if end >= len(found) - 1 and len(phrases) == 1 else None


def _similar(found: Sequence[TaggedWord], phrases: Sequence[NounPhrase], topic: Topic) -> Addition | None:
    """ "What are other similar experiments?" """
    words = [token for token in found if token.text[0].isalnum()]
    alike = any(token.low == "similar" for token in found)
    last = phrases[-1] if phrases else None
    if not alike or last is None or found[last.last - 1] is not words[-1] or len(phrases) != 1 or last.inner or last.name:
        return None
    return words[-1].end, f" to {topic.text}"


def _compared(found: Sequence[TaggedWord], phrases: Sequence[NounPhrase], topic: Topic) -> Addition | None:
    """ "How is a container different?" """
    words = [token for token in found if token.text[0].isalnum()]
    joint = english.COMPARED_WITH.get(words[-1].low)
    if joint is None or words[0].low != "how" or len(phrases) != 1 or phrases[0].plural or " and " in phrases[0].text:
        return None
    return words[-1].end, f" {joint} {topic.text}"


def _superlative(found: Sequence[TaggedWord], topic: Topic) -> Addition | None:
    """ "What is the largest ever caught?" """
    for at, token in enumerate(found[1:], 1):
        after = found[at + 1] if at + 1 < len(found) else None
        ends = after is None or after.tag not in "NJM"
        if token.low in english.SUPERLATIVES and found[at - 1].low == "the" and ends:
            return token.end, f" {english.singular(topic.head)}"
    return None


def _counted(found: Sequence[TaggedWord], topic: Topic) -> Addition | None:
    """ "How many can you have?" """
    for how, many, verb in zip(found, found[1:], found[2:], strict=False):
        if how.low == "how" and many.low == "many" and verb.tag == "X":
            return many.end, f" {topic.core}"
    return None


def _relation(found: Sequence[TaggedWord], phrases: Sequence[NounPhrase], topic: Topic, topics: Topics) -> Addition | None:
    """ "What are the main causes?" """
    introduced = found[0].low in ("what", "who") and len(found) > 1 and found[1].low in english.BE  # "what is the system?"
    few = len(phrases) == 1 and len(found) <= MOST_TOKENS and not introduced
    for number, phrase in enumerate(phrases):
        last = phrase
        for other in phrases[number + 1 :]:
            last = other if other.role == "and" and other.first == last.last + 1 else last
        completed = last.last < len(found) and found[last.last].low in COMPLEMENTS
        if completed and found[last.last].low == "of":
            return None  # of something of its own: "advantages of knowing languages"
        if last.inner is not None or phrase.name or completed:
            continue
        head = found[phrase.head]
        related = relational(head) and head.low not in english.VAGUE
        compound = any(token.tag == "N" for token in found[phrase.first : phrase.head])  # "the world cup" stands by itself
        if related or (few and found[phrase.first].low == "the" and not compound and not topics.known(phrase.words)):
            return found[last.last - 1].end, f" of {topic.text}"
    return None


def _bare(found: Sequence[TaggedWord], phrases: Sequence[NounPhrase], topic: Topic) -> Addition | None:
    """ "Who won?" """
    words = [token for token in found if token.text[0].isalnum()]
    asked = len(phrases) == 1 and phrases[0].first == 1  # "which empires ..."
    if (phrases and not asked) or len(words) > 5 or words[0].tag != "W" or words[-1].tag != "V":
        return None
    if any(token.tag == "P" for token in words):
        return None
    if asked and any(token.tag == "X" for token in words):  # "how many pieces are known?"
        return found[phrases[0].last - 1].end, f" of {topic.text}"
    inside = english.lemma(words[-1].low) in english.IN_SOMETHING
    return words[-1].end, f" in {topic.text}" if inside else f" {topic.text}"
