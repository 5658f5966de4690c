"""Sentences of a written answer and their markers."""

import pytest

from mmgen.interfaces import Hit, Passage
from mmgen.pipelines.rag.sentence_citations import NO_SOURCE, AnswerSentence, checked, joined, split

TEXTS = ["The lamp was lit in 1823. It shone.", "Tea came to Japan with monks.", "In 1823 the lamp was lit."]
HITS = [Hit(n, n, f"/d{n}", Passage(text, 0, len(text)), 1.0) for n, text in enumerate(TEXTS)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It shone [1]. Tea came [2, 3].", [("It shone.", [1]), ("Tea came.", [2, 3])]),
        ("It shone. [1] Tea came.[2] [3]", [("It shone.", [1]), ("Tea came.", [2, 3])]),
        ("- It shone [1][1]\n- Tea came", [("- It shone", [1]), ("- Tea came", [])]),
        ("[1]", []),
        (" ... ", []),
    ],
)
def test_split(text: str, expected: list[tuple[str, list[int]]]) -> None:
    assert split(text) == expected


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("The lamp was lit in 1823 [1].", [0]),
        ("The lamp was lit in 1823 [1][3].", [0, 2]),
        ("The lamp was lit in 1823 [3, 2, 9].", [2]),  # 2 says something else, and there is no 9
        ("The lamp was lit in 1823 [0].", [0]),
        ("The lamp was lit in 1823 [2].", [0]),  # none of those it names: the first that supports it best
        ("Tea came with monks.", [1]),  # no marker
        ("Tea came to China [2].", []),
    ],
)
def test_only_passages_that_support_a_sentence_stay(text: str, sources: list[int]) -> None:
    (one,) = checked(text, HITS, 1.0)
    assert list(one.by) == sources


def test_how_much_is_enough() -> None:
    text = "The bright lamp was lit in 1823 [1]."
    assert [list(checked(text, HITS, enough)[0].by) for enough in (0.6, 1.0)] == [[0], []]


def test_joined() -> None:
    said = [AnswerSentence("They are:"), AnswerSentence("- One.", (1, 2)), AnswerSentence("- Two.")]
    assert joined(said) == "They are:\n- One. [1][2]\n- Two."
    assert joined(said, NO_SOURCE) == "They are: (no source)\n- One. [1][2]\n- Two. (no source)"
