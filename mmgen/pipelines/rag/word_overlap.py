"""Whether a passage says what a sentence says, by the words that they share.

Knows words of a text; not what they mean: who does what to whom, and synonyms, are beyond it. It errs towards "not supported".

The measure, of a sentence and a quote (one to three neighbouring sentences of a passage): the share of the sentence's content
words that stand in the quote. It is 0 if a word is missing that changes what is said: a number, a name (any word with a capital
that is no function word) or a negation; and if only one of the sentence and the quote's likest sentence is negated. Words
are compared in lower case without possessive or plural s; words of the headings above the quote count as its own. Function
words are English ones: in other languages they count as content.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from mmgen.function_words import FUNCTION_WORDS
from mmgen.ingest.text_blocks import trimmed
from mmgen.pipelines.rag.sentence_spans import parts

MOST_SENTENCES = 3
"""Of a quote."""
WORD = re.compile(r"\d[\d.,]*\d|\d|[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+(?:['’][^\W\d_]+)*")
ITEM = re.compile(r"\A\s*(?:[-*•]|\(?\d{1,3}[.)])\s+")
FUNCTION = FUNCTION_WORDS | frozenset(
    """according also am because being document done having he her here hers him his however me might must my onto passage
    shall she therefore those thus us while yes""".split()  # noqa: SIM905  a list of words
)
"""Words that say nothing by themselves; folded."""
NEGATIONS = frozenset("not no never none nobody nothing neither nor without cannot".split())  # noqa: SIM905
COUNTS = frozenset(
    """two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty sixty seventy eighty ninety
    hundred thousand million billion""".split()  # noqa: SIM905  a list of words
)


@dataclass(frozen=True)
class ContentWords:
    """A text's content words, folded."""

    content: frozenset[str]
    needed: frozenset[str]  # of them: numbers, names and negations
    negated: bool

    @classmethod
    def of(cls, text: str) -> ContentWords:
        found = [(fold(word), word) for word in WORD.findall(unicodedata.normalize("NFKC", text))]
        content = [(folded, word) for folded, word in found if folded not in FUNCTION]
        needed = {folded for folded, word in content if word[0].isupper() or _counts(folded)}
        return cls(frozenset(folded for folded, _ in content), frozenset(needed), any(f in NEGATIONS for f, _ in content))


@dataclass(frozen=True)
class Support:
    """The quote that supports a sentence best: `passage[start:end]`."""

    share: float  # of the sentence's content words, 0 to 1
    start: int
    end: int


def fold(word: str) -> str:
    """What two forms of a word share: `Lamps` and `lamp's` are lamp, `1,823` is 1823, `wasn't` is not."""
    low = word.casefold().replace("’", "'")
    if low[0].isdigit():
        return low.replace(",", "")
    if low.endswith("n't"):
        return "not"
    low = low.removesuffix("'s")
    return low[:-1] if len(low) > 3 and low.endswith("s") and not low.endswith("ss") else low


def support(sentence: str, passage: str, heading: str = "") -> Support:
    """The shortest of the quotes with the largest share; the first of several. Share 0: the passage does not support it."""
    said, above = ContentWords.of(ITEM.sub("", sentence, count=1)), ContentWords.of(heading).content
    spans = parts(passage)
    words = [ContentWords.of(passage[a:b]) for a, b in spans]
    best = Support(0.0, 0, 0)
    for length in range(1, MOST_SENTENCES + 1):
        for first in range(len(spans) - length + 1):
            share = _share(said, words[first : first + length], above)
            if share > best.share:
                best = Support(share, *trimmed(passage, spans[first][0], spans[first + length - 1][1]))
    return best


def _share(said: ContentWords, quote: list[ContentWords], above: frozenset[str]) -> float:
    there = above.union(*(one.content for one in quote))
    likest = max(quote, key=lambda one: len(one.content & said.content))
    if not said.content or not said.needed <= there or likest.negated != said.negated:
        return 0.0
    return len(said.content & there) / len(said.content)


def _counts(folded: str) -> bool:
    return folded in NEGATIONS or folded in COUNTS or any(character.isdigit() for character in folded)
