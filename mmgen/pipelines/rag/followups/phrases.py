"""A shallow parse of an English question: tokens with their word classes, and the noun phrases among them.

Word classes come from closed lists, a list of common verbs and the place in the clause (a verb is due after "does" and a
subject); what is in no list counts as a noun.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mmgen.pipelines.rag.followups import english

TOKEN = re.compile(r"\w+(?:[.\-’'&/]\w+)*\.?(?<=\b[A-Za-z]\.)|\w+(?:[\-’'&/.]\w+)*|[^\w\s]")
CLITIC = re.compile(r"^(what|who|where|when|how|that|it|he|she|there|why)['’](s|re)$", re.IGNORECASE)


@dataclass
class TaggedWord:
    """`text[start:end]` with its word class.

    W: question word, X: auxiliary, D: determiner, S: possessive, P: pronoun, R: preposition, C: conjunction, V: verb,
    A: adverb, J: adjective, M: number, N: noun, T: "to" before a verb; "." punctuation.
    """

    text: str
    start: int
    end: int
    tag: str = ""

    @property
    def low(self) -> str:
        return self.text.lower().replace("’", "'")

    @property
    def capital(self) -> bool:
        return self.text[:1].isupper()


@dataclass(frozen=True)
class NounPhrase:
    """Tokens `[first, last)`; `head` is the index of the head noun, before any "of"."""

    first: int
    last: int
    head: int
    text: str  # with its determiner
    core: str  # without it
    name: bool  # a capital that is not the sentence's first
    plural: bool
    role: str = ""  # subject, object, or the preposition before it
    inner: NounPhrase | None = None  # behind "of"

    @property
    def words(self) -> frozenset[str]:
        return frozenset(english.singular(word.lower()) for word in re.findall(r"\w+", self.core))


def tokens(text: str) -> list[TaggedWord]:
    """Of a text, tagged."""
    found: list[TaggedWord] = []
    for match in TOKEN.finditer(text):
        if clitic := CLITIC.match(match[0]):
            cut = match.start() + clitic.end(1)
            found += [
                TaggedWord(text[match.start() : cut], match.start(), cut),
                TaggedWord(text[cut : match.end()], cut, match.end()),
            ]
        else:
            found.append(TaggedWord(match[0], match.start(), match.end()))
    _tag(found)
    return found


def _tag(found: list[TaggedWord]) -> None:
    """Tags all, from the left; then a verb that is due to "did" and is in no list."""
    due = ""  # the auxiliary that a main verb is due to, once there was a subject
    subject = False
    for at, token in enumerate(found):
        before = found[at - 1] if at else None
        after = found[at + 1] if at + 1 < len(found) else None
        token.tag = _class(token, before, after, found, at, due if subject else "")
        if token.tag == "X":
            due, subject = token.low, before is not None and before.tag in ("N", "P", "A")
        elif token.tag in ("P", "N"):
            subject = True
        elif token.tag in ("V", "."):
            due = ""
    for at, token in enumerate(found):
        if token.low in english.DO and token.tag == "X":
            _find_verb(found, at + 1)


def _find_verb(found: Sequence[TaggedWord], first: int) -> None:
    """ "When did Netflix shift from ...": of a clause without a verb the last noun of the subject, if it has others."""
    last = next((at for at in range(first, len(found)) if found[at].tag in ("V", "X", ".", "C")), len(found))
    if last < len(found) and found[last].tag in ("V", "X"):
        return
    end = first
    while end < last and (found[end].tag in "DSJMNP" or found[end].low == "of"):
        end += 1
    verb = found[end - 1] if end - first >= 2 else None
    if verb is not None and verb.tag == "N" and not verb.capital and verb.low == english.lemma(verb.low):
        verb.tag = "V"


def _class(
    token: TaggedWord, before: TaggedWord | None, after: TaggedWord | None, found: Sequence[TaggedWord], at: int, due: str
) -> str:
    low, prior = token.low, before.tag if before else ""
    if not token.text[0].isalnum() and low not in ("'s", "'re"):
        return "."
    if low in english.WH:
        return "W"
    if low in english.DEMONSTRATIVES:
        return _demonstrative(low, prior, after)
    if low == "her":
        return "P" if after is None or after.low in english.PREPOSITIONS or not after.text[0].isalnum() else "S"
    if low in english.POSSESSIVES or low in ("my", "your", "our"):
        return "S"
    if low in english.PRONOUNS or (low in english.OTHER_PRONOUNS and token.text != "US"):
        return "P"
    if low in english.AUXILIARIES:
        return _auxiliary(low, prior, after, found, at)
    if low == "to" and after and english.lemma(after.low) == after.low and english.is_verb(after.low):
        return "T"
    return _open_class(token, before, after, at, due)


def _demonstrative(low: str, prior: str, after: TaggedWord | None) -> str:
    if (
        after is None
        or not after.text[0].isalnum()
        or after.low in english.AUXILIARIES | english.PREPOSITIONS | english.CONJUNCTIONS
    ):
        return "C" if low == "that" and prior == "N" else "P"
    if low == "that" and (
        prior in ("N", "V") or after.low in english.PRONOUNS or after.tag == "V" or after.low in english.DETERMINERS
    ):
        return "C"
    return "P" if english.is_verb(after.low) and after.low not in english.NOT_ALONE else "D"


def _auxiliary(low: str, prior: str, after: TaggedWord | None, found: Sequence[TaggedWord], at: int) -> str:
    if low == "being" and prior == "R":
        return "N"
    if low in ("do", "did", "does", "have", "had", "has") and prior in "PNT" and prior and at:
        clause = next((one for one in reversed(found[:at]) if one.tag in ("X", "V", ".")), None)
        if clause is not None and clause.tag == "X" and clause.low in english.DO:
            return "V"
    return "X"


def _open_class(token: TaggedWord, before: TaggedWord | None, after: TaggedWord | None, at: int, due: str) -> str:
    low, prior = token.low, before.tag if before else ""
    if token.capital and at and prior != ".":
        return "N"
    if low[0].isdigit() or (low in english.NUMBERS and low != "one"):
        return "N" if before is not None and before.tag == "N" and before.capital and len(low) < 3 else "M"  # Voyager 2
    if low == "one":
        verb = prior == "X" and after is not None and english.is_verb(after.low)  # "does one make"
        return "M" if after is not None and after.text[0].isalnum() and prior not in ("V", "R") and not verb else "P"
    if prior in ("D", "S", "J", "M") and low in english.SUPERLATIVES | english.ADJECTIVES:
        return "J"
    for words, tag in ((english.DETERMINERS, "D"), (english.CONJUNCTIONS, "C"), (english.PREPOSITIONS, "R")):
        if low in words:
            return tag
    if low in english.ADVERBS or (low.endswith("ly") and len(low) > 4 and low not in english.LY_NOUNS):
        return "A"
    if _verbal(low, prior, before, after, due):
        return "V"
    if low in english.ADJECTIVES or low.endswith(english.ADJECTIVE_ENDINGS):
        return "J"
    joined = after is not None and after.low in ("and", "or")  # "sexual and asexual reproduction"
    return "J" if joined and prior not in "N" and low.endswith(english.PERHAPS_ADJECTIVE) else "N"


def _verbal(low: str, prior: str, before: TaggedWord | None, after: TaggedWord | None, due: str) -> bool:
    """Whether a form that may be a verb is one here."""
    base = english.lemma(low)
    past = low in english.IRREGULAR or (low.endswith("ed") and (len(low) > 4 or (base != low and base in english.VERBS)))
    gerund = prior == "R" and low.endswith("ing") and len(low) > 5  # "the effects of consuming sugar"
    if base not in english.VERBS and not past and not gerund:
        return False
    last = after is None or not after.text[0].isalnum() or after.low in english.PREPOSITIONS
    if prior in ("D", "S", "J", "M"):
        return past and last and before is not None and before.low in english.SUPERLATIVES
    if prior == "T":
        return True
    if due:
        if due in english.DO:
            return base == low or low in english.VERBS
        return past or low.endswith("ing")
    if prior == "R":
        return gerund and not last and base not in english.NOT_ALONE
    if prior == "X":
        return past or low.endswith("ing")
    if base == low and low not in english.IRREGULAR:
        return prior in ("P", "") or (prior == "W" and base not in english.NOT_ALONE)
    if low.endswith("ing"):
        return prior not in ("C", "", "W")
    return past or prior == "P" or base not in english.NOT_ALONE


def noun_phrases(found: Sequence[TaggedWord], text: str) -> list[NounPhrase]:
    """In order, each with what stands behind its "of"."""
    flat = list(_flat(found, text))
    whole: list[NounPhrase] = []
    while flat:
        phrase = flat.pop()
        if whole and phrase.last < whole[-1].first and found[phrase.last].low == "of" and whole[-1].first == phrase.last + 1:
            inner = whole.pop()
            start, end = found[phrase.first].start, found[inner.last - 1].end
            core = found[_core(found, phrase.first, phrase.head)].start
            whole_text, core_text = text[start:end], text[core:end]
            phrase = replace(phrase, last=inner.last, text=whole_text, core=core_text, inner=inner)
        whole.append(phrase)
    return whole[::-1]


def _flat(found: Sequence[TaggedWord], text: str) -> Iterator[NounPhrase]:
    at = 0
    while at < len(found):
        end = at
        while end < len(found) and (
            found[end].tag in ("N", "M", "J") or (end == at and found[end].tag in ("D", "S")) or _inside(found, at, end)
        ):
            end += 1
        while end > at and found[end - 1].tag not in ("N", "M"):
            end -= 1
        if end > at and any(token.tag == "N" for token in found[at:end]):
            yield _phrase(found, at, end, text)
            at = end
        else:
            at += 1


def _inside(found: Sequence[TaggedWord], at: int, end: int) -> bool:
    """Whether a token that begins no phrase can stand in one: an adverb before an adjective, a second determiner."""
    token = found[end]
    if token.tag == "A" and end + 1 < len(found) and found[end + 1].tag == "J":
        return True
    return token.tag == "D" and end == at + 1 and found[at].tag == "D"


def _core(found: Sequence[TaggedWord], first: int, head: int) -> int:
    while first < head and found[first].tag in ("D", "S"):
        first += 1
    return first


def _phrase(found: Sequence[TaggedWord], first: int, last: int, text: str) -> NounPhrase:
    head = next((at for at in range(last - 1, first - 1, -1) if found[at].tag == "N"), last - 1)
    core = _core(found, first, head)
    name = any(token.capital and found[0] is not token and token.tag == "N" for token in found[core:last])
    role = _role(found, first)
    plural = english.is_plural(found[head].text) and found[first].low not in ("a", "an")
    return NounPhrase(
        first,
        last,
        head,
        text[found[first].start : found[last - 1].end],
        text[found[core].start : found[last - 1].end],
        name,
        plural,
        role,
    )


def _role(found: Sequence[TaggedWord], first: int) -> str:
    before = found[first - 1] if first else None
    if before is None or before.tag in ("X", "W"):
        return "subject"
    if before.tag == "R":
        return before.low
    if before.tag == "V":
        return "object"
    return "and" if before.tag == "C" else ""
