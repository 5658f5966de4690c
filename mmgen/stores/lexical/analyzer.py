"""Text to terms: what the word index keeps of a passage, and what it is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import regex

from mmgen.stores.lexical.normalization import folded, normalized
from mmgen.stores.lexical.stemming import language_of, stem

CJK = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Hangul}\u30fc"
SOUTH_EAST_ASIAN = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
ENGLISH = re.compile(r"[a-z0-9]+")
WORD = regex.compile(
    rf"(?V1)(?P<cjk>[{CJK}][{CJK}\p{{M}}]*)|(?P<sea>[{SOUTH_EAST_ASIAN}][{SOUTH_EAST_ASIAN}\p{{M}}]*)"
    rf"|[[\p{{L}}\p{{N}}\p{{M}}\p{{Co}}]--[{CJK}{SOUTH_EAST_ASIAN}]]+"
)
CLUSTER = regex.compile(r"\P{M}\p{M}*|\p{M}+")
NGRAM = {"cjk": 2, "sea": 3}
"""Letters with their marks in a term of text without spaces between words. Korean words are taken apart too: their particles
stand at their ends without a space."""
LONGEST = 64
"""Letters of a term; what is longer is no word."""
COMPOUNDING = frozenset({"de", "nl", "af", "fy", "lb", "sv", "da", "no", "is", "fo", "fi", "et", "hu"})
"""Languages that write compounds as one word, to be found by their parts."""
LEAST_COMPOUND, LEAST_PART = 8, 4


def words(text: str, language: str = "") -> Iterator[tuple[str, str]]:
    """The words of a text, normalised, in their order.

    The second of each pair is "cjk" or "sea" for a run of letters without spaces between words, else "".
    """
    text = normalized(text, language)
    if text.isascii():
        for found in ENGLISH.findall(text):
            yield found, ""
        return
    for match in WORD.finditer(text):
        yield match[0], match.lastgroup or ""


def terms(text: str, language: str = "") -> list[str]:
    """What the index keeps of a text in that language."""
    out: list[str] = []
    for word, kind in words(text, language):
        out += ngrams(word, NGRAM[kind]) if kind else stems(word, language)
    return out


def ngrams(run: str, n: int) -> list[str]:
    """Every `n` letters of a run, and its last ones, so that each letter begins a term: shorter ones are found as prefixes."""
    letters = CLUSTER.findall(run)
    return ["".join(letters[at : at + n]) for at in range(len(letters))]


@lru_cache(maxsize=1 << 16)
def stems(word: str, language: str) -> tuple[str, ...]:
    """A word's stem without the marks that may be left out; a second one where it is stemmed otherwise without them."""
    rules = language_of(word, language)
    bare = folded(word, language)
    first = folded(stem(word, rules), language)[:LONGEST]
    if bare == word:
        return (first,)
    second = folded(stem(bare, rules), language)[:LONGEST]
    return (first,) if first == second else (first, second)


def parts(text: str, language: str) -> list[str]:
    """Overlapping pieces of the long words of a language that has compounds, in their order."""
    if language not in COMPOUNDING:
        return []
    out: list[str] = []
    for word, kind in words(text, language):
        if not kind and len(word) >= LEAST_COMPOUND:
            out += pieces(stems(word, language)[0])
    return out


def pieces(word: str) -> list[str]:
    """Every LEAST_PART letters of a word: a phrase of them is found wherever the word is part of another."""
    return [word[at : at + LEAST_PART] for at in range(len(word) - LEAST_PART + 1)] if word.isalpha() else []


def columns(text: str, language: str) -> tuple[str, str]:
    """`terms` and `parts`, each joined by spaces as the index's columns hold them."""
    return " ".join(terms(text, language)), " ".join(parts(text, language))
