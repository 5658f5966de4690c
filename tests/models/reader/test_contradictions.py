"""Each sign once: what was asked is not said, another of its kind is; and where nothing speaks against an answer."""

import pytest

from mmgen.models.reader.contradictions import contradicted


def why(question: str, passage: str, answer: str) -> str:
    start = passage.index(answer)
    return contradicted(question, passage, start, start + len(answer))


LINES = "The red line takes 12 minutes to the harbour, the blue line 19 minutes and the green line 9 minutes."
BOATS = "A rowing boat costs 9 francs an hour, a motor boat 38 francs an hour."
ROLLS = "Tom baked 12 rolls in the morning and 30 rolls in the afternoon."


@pytest.mark.parametrize(
    ("question", "passage", "answer", "reason"),
    [
        ("How long does the blue line take?", LINES, "12 minutes", "it is of another kind than was asked"),
        ("How much does a motor boat cost?", BOATS, "9 francs", "it is said of another"),
        ("How much does a rowing boat cost?", BOATS, "38 francs", "it is said of another"),
        ("How many rolls did Tom bake in the evening?", ROLLS, "30", "it is of another kind than was asked"),
        ("How many trains run on Mondays?", "On Sundays nine trains run.", "nine", "it is of another kind than was asked"),
        ("Who raised it in 1790?", "In 1823 Olga raised it. In 1790 it fell.", "Olga", "it is of another year"),
        ("Who lit the last lamp?", "Olga lit the first lamp.", "Olga", "the opposite was asked"),
        ("Which medicine is suitable?", "Ibuprofen is not suitable.", "Ibuprofen", "it is denied there"),
        ("Which room has a balcony?", "Room 12 has none, Room 14 has no balcony.", "Room 14", "it is denied there"),
        ("Which room isn't heated?", "Room 14 is heated.", "Room 14", "it is not denied there"),
        ("How many rooms have a balcony?", "Room 12 has a balcony.", "12", "it is the number of one, not how many there are"),
    ],
)
def test_signs(question: str, passage: str, answer: str, reason: str) -> None:
    assert why(question, passage, answer) == reason


@pytest.mark.parametrize(
    ("question", "passage", "answer"),
    [
        ("How long does the blue line take?", LINES, "19 minutes"),
        ("How much does a motor boat cost?", BOATS, "38 francs"),
        ("How much does a boat cost?", BOATS, "9 francs"),
        ("Which line takes 9 minutes?", LINES, "green line"),
        ("How many rolls did Tom bake in the morning?", ROLLS, "12"),
        ("In which month was it lit?", "It was lit in July, after the spring.", "July"),
        ("Who raised it in 1790?", "Between 1790 and 1823 Olga raised it.", "Olga"),
        ("In which year of 1800 was it lit?", "It was lit in 1801.", "1801"),
        ("Who lit the first and the last lamp?", "Olga lit the first lamp and the last.", "Olga"),
        ("Which medicine is not suitable?", "Ibuprofen is not suitable.", "Ibuprofen"),
        ("Who couldn't open it?", "Olga failed to open it.", "Olga"),
        ("How many rooms are there?", "There are 12 rooms.", "12"),
    ],
)
def test_nothing_speaks_against_these(question: str, passage: str, answer: str) -> None:
    assert why(question, passage, answer) == ""
