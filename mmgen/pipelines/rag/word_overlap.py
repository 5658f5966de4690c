"""Lexical entailment: whether a passage supports a sentence, by the words that they share.

A quote is one to three neighbouring sentences of the passage. Its support for a sentence is the share of the sentence's content
words that the quote contains. It is 0 if a word is missing that changes the meaning - a number, a name (any capitalised word
that is no function word) or a negation - and if just one of the two, the sentence or the quote's most similar sentence, is
negated. Words are compared in lower case without possessive or plural s; the words of the headings above a quote count as its
own. The list of function words is English; those of other languages count as content. Scripts without spaces are compared by
letters; marks that may be left out count nothing (mmgen.stores.lexical).

Synonyms and the roles of words (who does what to whom) are not recognised; most errors are of the kind "not supported".
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import regex

from mmgen.function_words import FUNCTION_WORDS
from mmgen.ingest.text_blocks import trimmed
from mmgen.pipelines.rag.sentence_spans import parts
from mmgen.stores.lexical.analyzer import SOUTH_EAST_ASIAN
from mmgen.stores.lexical.normalization import folded, normalized

MOST_SENTENCES = 3
"""Longest quote."""
UNSPACED = rf"\p{{Han}}\p{{Hiragana}}\p{{Katakana}}\u30fc{SOUTH_EAST_ASIAN}"
WORD = regex.compile(
    rf"(?V1)\d[\d.,]*\d|\d|[{UNSPACED}]\p{{M}}*|[[\p{{L}}\p{{N}}\p{{M}}]--[{UNSPACED}]]+(?:['’]\p{{L}}[\p{{L}}\p{{M}}]*)*"
)
"""A letter is a word where no spaces part words; marks are parts of their letters."""
ITEM = re.compile(r"\A\s*(?:[-*•]|\(?\d{1,3}[.)])\s+")
FUNCTION = FUNCTION_WORDS | frozenset(
    """according also am because being document done having he her here hers him his however me might must my onto passage
    shall she therefore those thus us while yes""".split()  # noqa: SIM905  a list of words
)
"""Words without content of their own, folded."""
NEGATIONS = frozenset("not no never none nobody nothing neither nor without cannot".split())  # noqa: SIM905
COUNTS = frozenset(
    """two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty sixty seventy eighty ninety
    hundred thousand million billion""".split()  # noqa: SIM905  a list of words
)


@dataclass(frozen=True)
class ContentWords:
    """A text's content words, folded."""

    content: frozenset[str]
    needed: frozenset[str]  # the numbers, names and negations among them
    negated: bool  # whether there is a negation

    @classmethod
    def of(cls, text: str) -> ContentWords:
        found = [(fold(word), word) for word in WORD.findall(unicodedata.normalize("NFKC", text))]
        content = [(folded, word) for folded, word in found if folded not in FUNCTION]
        needed = {folded for folded, word in content if word[0].isupper() or _counts(folded)}
        return cls(frozenset(folded for folded, _ in content), frozenset(needed), any(f in NEGATIONS for f, _ in content))


@dataclass(frozen=True)
class Support:
    """The quote that supports a sentence best, `passage[start:end]`."""

    share: float  # of the sentence's content words that are in the quote, 0 to 1
    start: int
    end: int


def fold(word: str) -> str:
    """A word's normal form: `Lamps` and `lamp's` become lamp, `1,823` 1823, `wasn't` not, `impôt` impot."""
    low = folded(normalized(word)).replace("’", "'")
    if low[:1].isdigit():
        return low.replace(",", "")
    if low.endswith("n't"):
        return "not"
    low = low.removesuffix("'s")
    return low[:-1] if len(low) > 3 and low.endswith("s") and not low.endswith("ss") else low


def support(sentence: str, passage: str, heading: str = "") -> Support:
    """The quote with the largest share; of several the shortest, then the first. Share 0: the passage does not support it."""
    own, above = ContentWords.of(ITEM.sub("", sentence, count=1)), ContentWords.of(heading).content
    spans = parts(passage)
    words = [ContentWords.of(passage[a:b]) for a, b in spans]
    best = Support(0.0, 0, 0)
    for length in range(1, MOST_SENTENCES + 1):
        for first in range(len(spans) - length + 1):
            share = _share(own, words[first : first + length], above)
            if share > best.share:
                best = Support(share, *trimmed(passage, spans[first][0], spans[first + length - 1][1]))
    return best


def _share(sentence: ContentWords, quote: list[ContentWords], above: frozenset[str]) -> float:
    there = above.union(*(one.content for one in quote))
    nearest = max(quote, key=lambda one: len(one.content & sentence.content))
    if not sentence.content or not sentence.needed <= there or nearest.negated != sentence.negated:
        return 0.0
    return len(sentence.content & there) / len(sentence.content)


def _counts(folded: str) -> bool:
    return folded in NEGATIONS or folded in COUNTS or any(character.isdigit() for character in folded)
