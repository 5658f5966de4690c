"""On a vocabulary of a few words with embeddings by hand: what is of a kind, what is a form or a synonym, what is neither."""

import random
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mmgen.training.data.near_words import NearWords, drawn, ending, in_place_of

WORDS = ["north", "south", "northern", "up", "song", "hymn", "stone"]


@pytest.fixture
def words() -> NearWords:
    """ "song" and "hymn" are synonyms, "north" and "south" of a kind."""
    rows = torch.eye(7)
    rows[1] = 0.4 * rows[0] + (1 - 0.16) ** 0.5 * rows[1]
    rows[2] = 0.4 * rows[0] + (1 - 0.16) ** 0.5 * rows[2]
    rows[5] = 0.8 * rows[4] + 0.6 * rows[5]
    tokenizer: Any = SimpleNamespace(fast=SimpleNamespace(get_vocab=lambda: {word: n for n, word in enumerate(WORDS)}))
    near = NearWords(rows, tokenizer)
    near.vectors = rows[torch.tensor([WORDS.index(word) for word in near.words])]
    return near


def test_words_of_a_kind(words: NearWords) -> None:
    assert "up" not in words.words  # too short
    assert words.of("north") == ["south"]  # "northern" is its form
    assert words.of("song") == [] and words.of("unknown") == []


def test_the_nearest_of_a_passage(words: NearWords) -> None:
    assert words.nearest("north", ["stone", "south", "northern"]) == "south"
    assert words.nearest("song", ["hymn", "stone"]) is None and words.nearest("unknown", ["south"]) is None


def test_a_word_is_drawn_from_the_passage_or_the_vocabulary_and_keeps_its_capital(words: NearWords) -> None:
    rng = random.Random(0)
    assert {drawn("North", words, ["south"], set(), rng) for _ in range(5)} == {"South"}
    assert drawn("North", words, [], set(), rng) == "South" and drawn("North", words, ["south"], {"south"}, rng) is None
    assert in_place_of("poor", "rich") == "rich" and (ending("walked"), ending("oslo")) == ("ed", "")
