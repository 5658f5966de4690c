"""A query as an FTS5 expression over an index of terms and parts, in every language that the index holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mmgen.function_words import FUNCTION_WORDS
from mmgen.stores.lexical import analyzer
from mmgen.stores.lexical.analyzer import COMPOUNDING, LEAST_COMPOUND, LEAST_PART, NGRAM, stems

STOP_WORDS = FUNCTION_WORDS | {"s", "such", "t"}  # of "what's" and "don't" the index has s and t as words
JAPANESE_ENDINGS = frozenset(
    """です ます した して する され れる られ いる ある ない なり なる てい てし たい たり まし せん ませ
    でき きま りま しま いま えま から まで ため こと もの など よう うに には では とは との ての って
    ので のに ると また この その あの どの これ それ どれ ここ そこ どこ とき れば れま せる てく くだ
    ださ さい だけ ほど より ずつ いて つい おい よっ よる くる いく ても でも でし しょ ょう""".split()  # noqa: SIM905  a list of words
)
"""Pairs of letters of endings and particles: to Japanese what `STOP_WORDS` are to English."""
MOST_TERMS = 256
"""Of each kind: a pasted page is searched by its first words."""
LINKS = ("", "s", "es", "n", "en", "er", "e")
"""What stands between the parts of German, Dutch and Scandinavian compounds."""


def expression(query: str, languages: Iterable[str], known: Callable[[str], bool]) -> str:
    """An FTS5 expression that any of the query's words satisfies; its signs and operators are just words. "" for no word.

    Args:
        languages: of the documents; a word is looked for as each of them stems it.
        known: whether the index holds a term: a compound is split into parts that it holds.
    """
    found: dict[str, None] = {}
    inside: dict[str, None] = {}
    for language in languages:
        for term, part in _asked(query, language, known):
            found[term] = None
            if part:
                inside[part] = None
    if not found:
        return ""
    either = f"terms : ({' OR '.join(list(found)[:MOST_TERMS])})"
    return f"{either} OR parts : ({' OR '.join(list(inside)[:MOST_TERMS])})" if inside else either


def _asked(query: str, language: str, known: Callable[[str], bool]) -> Iterable[tuple[str, str]]:
    """Terms as FTS5 writes them, each with the phrase that finds it in compounds or ""."""
    words = list(dict.fromkeys(analyzer.words(query, language)))
    words = [(word, kind) for word, kind in words if word not in STOP_WORDS] or words
    for word, kind in words:
        if kind:
            grams = _ngrams(word, NGRAM[kind])
            for gram in [gram for gram in grams if gram.strip('"') not in JAPANESE_ENDINGS] or grams:
                yield gram, ""
            continue
        for term in stems(word, language):
            yield f'"{term}"', _phrase(term) if language in COMPOUNDING else ""
        if language in COMPOUNDING:
            for part in split(word, language, known):
                yield f'"{part}"', _phrase(part)


def _ngrams(run: str, n: int) -> list[str]:
    """A run shorter than the index's terms is the beginning of one."""
    grams = analyzer.ngrams(run, n)
    return [f'"{gram}"' for gram in grams[: 1 - n]] if len(grams) >= n else [f'"{grams[0]}" *']


def _phrase(term: str) -> str:
    return f'"{" ".join(pieces)}"' if (pieces := analyzer.pieces(term)) else ""


def split(word: str, language: str, known: Callable[[str], bool]) -> list[str]:
    """The stems of a compound's parts, as evenly long as the index's own words allow; nothing where it is none."""
    if len(word) < LEAST_COMPOUND or not word.isalpha():
        return []
    for at in sorted(range(LEAST_PART, len(word) - LEAST_PART + 1), key=lambda at: abs(2 * at - len(word))):
        tail = stems(word[at:], language)[0]
        if not known(tail):
            continue
        for link in LINKS:
            head = word[:at].removesuffix(link)
            if len(head) < LEAST_PART or not word[:at].endswith(link):
                continue
            if known(first := stems(head, language)[0]):
                return [first, tail]
            if inner := split(head, language, known):
                return [*inner, tail]
    return []
