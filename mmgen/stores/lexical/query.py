"""A query as the terms and parts of an index that it asks for, in every language that the index holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

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


@dataclass(frozen=True)
class LexicalQuery:
    """What a word index is asked for: any of these."""

    terms: tuple[tuple[str, bool], ...]  # terms; True: all that begin so
    phrases: tuple[tuple[str, ...], ...]  # `analyzer.pieces` that follow each other within a long word

    def fts5(self) -> str:
        """As an FTS5 expression over the columns `terms` and `parts`; "" for nothing."""
        if not self.terms:
            return ""
        either = f"terms : ({' OR '.join(_quoted(term) + ' *' * prefix for term, prefix in self.terms)})"
        inside = " OR ".join(_quoted(" ".join(pieces)) for pieces in self.phrases)
        return f"{either} OR parts : ({inside})" if inside else either


def _quoted(text: str) -> str:
    return f'"{text}"'


def parsed(query: str, languages: Iterable[str], known: Callable[[str], bool]) -> LexicalQuery:
    """The query's words; its signs and operators are just words.

    Args:
        languages: of the documents; a word is looked for as each of them stems it.
        known: whether the index holds a term: a compound is split into parts that it holds.
    """
    terms: dict[tuple[str, bool], None] = {}
    phrases: dict[tuple[str, ...], None] = {}
    for language in languages:
        for term, prefix, pieces in _asked(query, language, known):
            terms[term, prefix] = None
            if pieces:
                phrases[pieces] = None
    return LexicalQuery(tuple(terms)[:MOST_TERMS], tuple(phrases)[:MOST_TERMS])


def _asked(query: str, language: str, known: Callable[[str], bool]) -> Iterable[tuple[str, bool, tuple[str, ...]]]:
    """Terms, whether others that begin so count too, and the pieces that find them in compounds or nothing."""
    words = list(dict.fromkeys(analyzer.words(query, language)))
    words = [(word, kind) for word, kind in words if word not in STOP_WORDS] or words
    for word, kind in words:
        if kind:
            grams = _ngrams(word, NGRAM[kind])
            for gram, prefix in [(gram, prefix) for gram, prefix in grams if gram not in JAPANESE_ENDINGS] or grams:
                yield gram, prefix, ()
            continue
        compounding = language in COMPOUNDING
        for term in (*stems(word, language), *(split(word, language, known) if compounding else ())):
            yield term, False, tuple(analyzer.pieces(term)) if compounding else ()


def _ngrams(run: str, n: int) -> list[tuple[str, bool]]:
    """A run shorter than the index's terms is the beginning of one."""
    grams = analyzer.ngrams(run, n)
    return [(gram, False) for gram in grams[: 1 - n]] if len(grams) >= n else [(grams[0], True)]


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
