import pytest

from mmgen.models.reader.question_demands import unmet

HOTEL = (
    "Check-in was at 14:00 until 2022; since 2023 it is at 16:00. In 2021 the hotel had 3,120 guests, in 2022 it had 4,870 "
    "guests. The largest room is room 9. Single rooms cost 80 francs, double rooms 120 francs. The house has twelve rooms."
)


@pytest.mark.parametrize(
    ("question", "answer", "why"),
    [
        ("When is check-in now?", "14:00", "it was so"),
        ("When is check-in now?", "16:00", ""),
        ("When was check-in in 2021?", "14:00", ""),
        ("In which year were the most guests there?", "2021", "nothing is compared"),
        ("Which is the largest room?", "room 9", ""),
        ("Which rooms are the cheapest?", "Single rooms", "nothing is compared"),
        ("What is the check-in time?", "14:00", "it was so"),
        ("What was the check-in time?", "14:00", ""),
        ("Besides single rooms, what is there?", "Single rooms", "what was left out"),
        ("Which room is there, apart from room 1?", "room 9", ""),
        ("How many rooms are there?", "rooms", "no number"),
        ("How many rooms are there?", "twelve", ""),
        ("How many guests came altogether?", "4,870", "nothing is added up"),
        ("Was kostet Zimmer 9?", "twelve rooms", "no price"),
        ("When was the house built?", "Single rooms", "no time"),
        ("How much do double rooms cost?", "80 francs", "price of another"),
        ("Who is interested in the forest?", "guests", ""),
        ("What do most of the guests like?", "Single rooms", ""),
    ],
)
def test_what_a_span_does_not_show(question: str, answer: str, why: str) -> None:
    start = HOTEL.index(answer)
    found = unmet(question, HOTEL, start, start + len(answer))
    assert (why in found) if why else found == ""
