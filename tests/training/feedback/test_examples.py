"""What a verdict says of each passage, and how answers are scored by it."""

import pytest

from mmgen.interfaces import Hit, Passage
from mmgen.stores.relational.feedback import Feedback
from mmgen.training.feedback.examples import ReadingExample, _row, from_general, general_questions

TEXT = "The lamp was lit in 1823."
HERE, THERE = (
    Hit(n, n, uri, Passage(text, 10, 10 + len(text)), 0.5, {}) for n, (uri, text) in enumerate([("/a", TEXT), ("/b", "Tea.")])
)


@pytest.mark.parametrize(
    ("said", "here", "there"),
    [
        (Feedback("When?", "1823", "right", "1823", "/a", 30, 34), (20, 24), None),
        (Feedback("When?", "lamp", "wrong", None, "/a", 14, 18), (4, 8), "unknown"),
        (Feedback("When?", "1823", "right", "1823", "/c", 30, 34), "unknown", None),
        (Feedback("When?", "", "right", ""), None, None),
    ],
)
def test_what_is_learned_of_a_passage(said: Feedback, here: object, there: object) -> None:
    words = said.answer if said.span is None else said.span
    for hit, wanted in ((HERE, here), (THERE, there)):
        row = _row(said, words, hit)
        assert row is None if wanted == "unknown" else row is not None and row.span == wanted
        assert row is None or row.wrong == (said.span is None and hit is HERE)


def test_scores() -> None:
    right, wrong, none = (ReadingExample("?", (), (), *more) for more in ((("in 1823",),), ((), "lamp"), ()))
    assert right.score("1823") == pytest.approx(2 / 3) and right.score(None) == 0
    assert wrong.score("the lamp") == 0 and wrong.score("1823") == wrong.score(None) == 1
    assert none.score(None) == 1 and none.score("1823") == 0


def test_the_general_data() -> None:
    """Parts share no passage, and each answer stands where it is said to."""
    parts: list[set[str]] = [set(), set(), set()]
    for one in general_questions():
        parts[one.part].update(one.passages)
        example = from_general(one, [0.5] * len(one.passages))
        assert any(row.span for row in example.rows) == bool(one.answers) and example.rows
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert len(general_questions()) == 260
