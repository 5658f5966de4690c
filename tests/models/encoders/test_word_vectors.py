"""Sums of word vectors where the answer is known."""

import numpy as np
import pytest

from mmgen.errors import BadRequest
from mmgen.models.encoders.word_vectors import Neighbour, WordSum, nearest

WORDS = ["king", "queen", "man", "woman", "boat"]
ROYAL, MALE, FEMALE, OTHER = np.eye(4, dtype=np.float32)
VECTORS = np.stack([(ROYAL + MALE) / 2**0.5, (ROYAL + FEMALE) / 2**0.5, MALE, FEMALE, OTHER])


def test_king_man_woman() -> None:
    asked = WordSum.read(["king", "-", "man", "+", "woman"])
    assert asked == WordSum.read(["king - man + woman"]) and asked.signs == (1, -1, 1)
    vector = asked.vector(VECTORS[[WORDS.index(word) for word in asked.words]])
    found = nearest(vector, VECTORS, WORDS, 2, without=["King", "man", "woman"])
    assert found[0].word == "queen" and found[0].similarity > 0.9 and found[1] == Neighbour("boat", 0.0)


@pytest.mark.parametrize(
    ("words", "said"),
    [("king man", 'no [+] or - before "man"'), ("king -", "a word is missing"), ("", "a word is missing")],
)
def test_no_sum(words: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        WordSum.read([words])


def test_nothing_left() -> None:
    with pytest.raises(BadRequest, match="take each other away"):
        WordSum.read(["king", "-", "king"]).vector(VECTORS[[0, 0]])
