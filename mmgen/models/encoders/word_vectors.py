"""Vectors of words: sums of them, and the words nearest to a sum. Knows vectors; not what encoded them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmgen.errors import BadRequest

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Neighbour:
    """A word and its cosine to what was asked."""

    word: str
    similarity: float


@dataclass(frozen=True)
class WordSum:
    """`king - man + woman`: words and their signs."""

    words: tuple[str, ...]
    signs: tuple[int, ...]

    @classmethod
    def read(cls, parts: Sequence[str]) -> WordSum:
        """Words with + or - between them. Raises BadRequest for anything else."""
        words, signs, sign = [], [], 1
        awaited = True
        for part in " ".join(parts).split():
            if part in ("+", "-"):
                sign, awaited = (-1 if part == "-" else 1), True
            elif awaited:
                words.append(part)
                signs.append(sign)
                awaited = False
            else:
                raise BadRequest(f'there is no + or - before "{part}"; write WORD - WORD + WORD')
        if awaited:
            raise BadRequest("a word is missing; write WORD - WORD + WORD, such as king - man + woman")
        return cls(tuple(words), tuple(signs))

    def vector(self, vectors: np.ndarray) -> np.ndarray:
        """(words, D) of unit length -> (D,) of unit length; 3CosAdd, Mikolov et al. 2013. BadRequest where nothing is left."""
        import numpy as np

        whole = np.asarray(self.signs, dtype=np.float32) @ vectors
        length = float(np.linalg.norm(whole))
        if length < 1e-6:
            raise BadRequest("the words take each other away; ask for other ones")
        return np.asarray(whole / length)


def nearest(
    query: np.ndarray, vectors: np.ndarray, words: Sequence[str], k: int, without: Sequence[str] = ()
) -> list[Neighbour]:
    """The k words of greatest cosine to (D,), best first, but for those asked with."""
    import numpy as np

    similar = vectors @ query  # (V,)
    left_out = {word.lower() for word in without}
    order = np.argsort(-similar, kind="stable")
    found = (Neighbour(words[n], float(similar[n])) for n in order if words[n].lower() not in left_out)
    return [near for near, _ in zip(found, range(k), strict=False)]
