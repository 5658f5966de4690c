"""Words in windows of tokens."""

from collections.abc import Sequence

import pytest
import torch

from mmgen.errors import TooLong
from mmgen.models.diffusion.prompts.windows import windows


def letters(words: Sequence[str]) -> list[list[int]]:
    return [[ord(letter) for letter in word] for word in words]


def told(prompt: str, size: int = 6) -> list[str]:
    return ["".join(map(chr, one.ids)) for one in windows(prompt, letters, size)]


def test_words_are_kept_whole_where_they_fit() -> None:
    assert told("ab cd ef gh") == ["abcdef", "gh"]
    assert told("abcd efg") == ["abcd", "efg"]
    assert told("abcdefghij kl") == ["abcdef", "ghijkl"]
    assert told("") == [""] and told("BREAK BREAK") == [""]
    assert told("ab BREAK cd BREAK") == ["ab", "cd"]


def test_weights_stand_beside_their_tokens() -> None:
    (one,) = windows("a (bc:2)", letters, 6)
    assert one.weights == [1, 2, 2]


def test_learned_words_have_their_vectors() -> None:
    vectors = torch.eye(2)
    (one,) = windows("a My-Cat (my-cat:2) my-cats", letters, 20, {"my-cat": vectors, "cat": torch.zeros(1, 2)})
    assert {place: vector.tolist() for place, vector in one.vectors.items()} == {1: [1, 0], 2: [0, 1], 3: [1, 0], 4: [0, 1]}
    assert one.weights[1:5] == [1, 1, 2, 2] and len(one.ids) == 5 + 7


def test_a_limit() -> None:
    with pytest.raises(TooLong, match="the prompt is 6000 tokens; 5000 are read at most, shorten it"):
        windows("ab " * 3000, letters, 75)
