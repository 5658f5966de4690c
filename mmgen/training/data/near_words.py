"""Words that could stand in another's place and mean something else: "north" for "south", "album" for "song".

By cosine of a model's word embeddings: forms of the same word and synonyms are nearest, what is of the same kind comes after.
"""

from __future__ import annotations

import random

import torch
import torch.nn.functional as F
from torch import Tensor

from mmgen.models.lm.tokenizer import Tokenizer

NEAREST, FARTHEST = 0.50, 0.28
"""Cosines between which words are of a kind, and seldom synonyms; seen on all-MiniLM-L6-v2's embeddings."""
MOST = 12
ENDINGS = ("ing", "ed", "ion", "ly", "er", "est", "s")


class NearWords:
    """Lower-case words of a vocabulary with their neighbours."""

    def __init__(self, embeddings: Tensor, tokenizer: Tokenizer) -> None:
        """`embeddings`: (V, D), the rows as the tokenizer numbers its words."""
        vocabulary = tokenizer.fast.get_vocab()
        self.words = sorted(w for w in vocabulary if w.isascii() and w.isalpha() and w.islower() and len(w) > 2)
        self.at = {word: n for n, word in enumerate(self.words)}
        rows = embeddings[torch.tensor([vocabulary[w] for w in self.words], dtype=torch.long)].float()
        self.vectors = F.normalize(rows - rows.mean(0), dim=-1)  # (W, D)
        self.known: dict[str, list[str]] = {}

    def of(self, word: str) -> list[str]:
        """At most MOST words of its kind, the nearest first; none of a word that is not in the vocabulary."""
        if word not in self.at:
            return []
        if word not in self.known:
            cosines = self.vectors @ self.vectors[self.at[word]]
            inside = ((cosines < NEAREST) & (cosines > FARTHEST)).nonzero().flatten().tolist()
            ranked = sorted(inside, key=lambda n: -float(cosines[n]))
            fit = [self.words[n] for n in ranked if ending(self.words[n]) == ending(word) and self.words[n][:4] != word[:4]]
            self.known[word] = fit[:MOST]
        return self.known[word]

    def nearest(self, word: str, others: list[str]) -> str | None:
        """Of other words the nearest that may take its place; None where none is of its kind."""
        here = [w for w in dict.fromkeys(others) if w in self.at and w[:4] != word[:4] and ending(w) == ending(word)]
        if word not in self.at or not here:
            return None
        cosines = self.vectors[torch.tensor([self.at[w] for w in here])] @ self.vectors[self.at[word]]
        fit = [n for n, cosine in enumerate(cosines.tolist()) if FARTHEST - 0.08 < cosine < NEAREST]
        return here[max(fit, key=lambda n: float(cosines[n]))] if fit else None


def ending(word: str) -> str:
    """Its ending of English, by which a verb's form or a plural is known."""
    return next((end for end in ENDINGS if word.endswith(end)), "")


def in_place_of(word: str, new: str) -> str:
    """The new word, written with a capital where the old one is."""
    return new.capitalize() if word[:1].isupper() else new


def drawn(word: str, words: NearWords, passage: list[str], avoid: set[str], rng: random.Random) -> str | None:
    """A word to put in another's place: one that stands elsewhere in the passage, or any of its kind.

    Args:
        passage: lower-case words of the passage.
        avoid: beginnings, of five letters, of words that are not to be put there.
    """
    inside = words.nearest(word.lower(), [w for w in passage if w[:5] not in avoid])
    if inside and rng.random() < 0.6:
        return in_place_of(word, inside)
    others = [w for w in words.of(word.lower()) if w[:5] not in avoid]
    return in_place_of(word, rng.choice(others)) if others else None
