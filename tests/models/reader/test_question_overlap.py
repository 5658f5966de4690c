from mmgen.models.reader.question_overlap import Overlap, overlap

TEXT = "Cordouan's lamp was lit in 1823. It burned oil. " + "The sea is wide. " * 20 + "Nobody counted the ships of Ostend."


def at(quote: str) -> tuple[int, int]:
    return TEXT.index(quote), TEXT.index(quote) + len(quote)


def test_what_the_passage_has_counts_for_nothing() -> None:
    assert overlap("When was the lamp of Cordouan lit?", TEXT, *at("1823")) == Overlap(0, 0.0, 0.0, 0)
    assert overlap("When did lamps burn?", TEXT, *at("1823")).words == 0.0, "stems"


def test_names_and_words_that_are_missing() -> None:
    found = overlap("When was the bell of Calais lit in 1790?", TEXT, *at("1823"))
    assert (found.names, found.words) == (2, 0.5)


def test_words_that_are_elsewhere() -> None:
    found = overlap("When were ships of Ostend lit?", TEXT, *at("1823"))
    assert found.names == 0 and found.near == 2 / 3


def test_denial() -> None:
    assert overlap("What wasn't burned?", TEXT, *at("oil")).negation == 1
    assert overlap("What was burned?", TEXT, *at("oil")).negation == 0
    assert overlap("Which ships were never counted?", TEXT, *at("the ships")).negation == 0


def test_opposites_and_numbers_of_the_answers_sentence() -> None:
    assert overlap("Who lit the last lamp?", "Olga lit the first lamp. The last was dark.", 0, 4).opposed == 1
    assert overlap("Who lit the first and last lamp?", "Olga lit the first and last lamp.", 0, 4).opposed == 0
    assert overlap("Who lit it in 1901?", "Olga lit it in 1903. It was new in 1901.", 0, 4).opposed == 1
