"""A prompt's words in windows of as many tokens as an encoder reads at once. Knows token ids and weights; no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from mmgen.errors import TooLong
from mmgen.models.diffusion.prompts import syntax

MOST_TOKENS = 5000
LONGEST_WORD = 8
"""Tokens of a word that is not parted between two windows."""
Tokenize = Callable[[Sequence[str]], list[list[int]]]
"""Words -> the ids of each, without special tokens."""


@dataclass(eq=False)
class TokenWindow:
    """What an encoder reads at once, without special tokens."""

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    vectors: dict[int, Tensor] = field(default_factory=dict)  # place -> (D,), of a word that a file gives its own vectors


@dataclass(frozen=True, eq=False)
class PromptWord:
    """Some tokens that stand together."""

    ids: Sequence[int]
    weight: float
    window: int  # BREAKs before it
    vectors: Sequence[Tensor] = ()  # one a token, or none


def windows(prompt: str, tokenize: Tokenize, size: int, learned: Mapping[str, Tensor] | None = None) -> list[TokenWindow]:
    """A prompt, marks and all, as one window or more.

    Args:
        size: tokens of a window.
        learned: words with vectors of their own, (N, D) each.

    Raises BadRequest for marks that cannot be read, TooLong beyond `MOST_TOKENS`.
    """
    words = list(_words(prompt, tokenize, learned or {}))
    if (count := sum(len(word.ids) for word in words)) > MOST_TOKENS:
        raise TooLong(f"the prompt is {count} tokens; {MOST_TOKENS} are read at most, shorten it")
    found, before = [TokenWindow()], 0
    for word in words:
        whole = len(word.ids) <= min(LONGEST_WORD, size)
        if found[-1].ids and (word.window > before or (whole and len(found[-1].ids) + len(word.ids) > size)):
            found.append(TokenWindow())
        before = word.window
        for n, number in enumerate(word.ids):
            if len(found[-1].ids) == size:
                found.append(TokenWindow())
            if word.vectors:
                found[-1].vectors[len(found[-1].ids)] = word.vectors[n]
            found[-1].ids.append(number)
            found[-1].weights.append(word.weight)
    return found


def _words(prompt: str, tokenize: Tokenize, learned: Mapping[str, Tensor]) -> list[PromptWord]:
    found: list[PromptWord] = []
    for piece in syntax.parse(prompt):
        for text, vectors in _learned(piece.text, learned):
            if vectors is not None:
                found.append(PromptWord([0] * len(vectors), piece.weight, piece.window, list(vectors)))
            elif words := text.split():
                found += [PromptWord(ids, piece.weight, piece.window) for ids in tokenize(words)]
    return found


def _learned(text: str, learned: Mapping[str, Tensor]) -> list[tuple[str, Tensor | None]]:
    """A text, parted at words with vectors of their own; the longest goes first, whatever the case."""
    if not learned:
        return [(text, None)]
    import re

    names = sorted(learned, key=len, reverse=True)
    ends = "|".join(re.escape(name) for name in names)
    parts = re.split(rf"(?<![\w-])({ends})(?![\w-])", text, flags=re.IGNORECASE)
    lower = {name.lower(): vectors for name, vectors in learned.items()}
    return [(part, lower.get(part.lower()) if n % 2 else None) for n, part in enumerate(parts)]
