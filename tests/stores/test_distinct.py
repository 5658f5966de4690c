"""k passages are k different texts."""

from mmgen.interfaces import Passage
from mmgen.stores.distinct import distinct


def passage(text: str, heading: str = "") -> Passage:
    return Passage(text, 0, len(text), heading=heading)


def test_what_says_the_same_or_less_is_left_out() -> None:
    texts = ["The drill is every May.", "the  drill is every May", "Every May.", "The drill is every June.", "Another."]
    assert distinct(list(map(passage, texts)), 3) == {0: [1, 2], 3: [], 4: []}
    assert distinct(list(map(passage, texts)), 1) == {0: [1, 2]}


def test_what_says_more_stays() -> None:
    assert distinct([passage("It is red."), passage("It is red. It floats.")], 5) == {0: [], 1: []}


def test_a_heading_makes_a_difference() -> None:
    under = [passage("2 years.", heading) for heading in ("Kettle", "Toaster", "kettle")]
    assert distinct(under, 5) == {0: [2], 1: []}
