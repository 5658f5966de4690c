"""What a cross-encoder is shown of an answer: whole sentences around it."""

from mmgen.models.reader.span_evidence import AFTER, BEFORE, evidence

FILLER = "Nothing of note was said there about lamps or ships. " * 6


def test_whole_sentences_around_the_answer() -> None:
    text = f"{FILLER}In Oslo a lamp was lit in 1901. It was loved. {FILLER}"
    start = text.index("1901")
    answer, around = evidence(text, start, start + 4).split(" | ")
    assert answer == "1901" and "In Oslo a lamp was lit in 1901. It was loved." in around
    assert around.startswith("Nothing") and around.endswith("ships.") and len(around) <= BEFORE + AFTER + 4


def test_a_short_passage_is_shown_whole_and_a_long_sentence_by_words() -> None:
    assert evidence("A lamp of 1901", 10, 14) == "1901 | A lamp of 1901"
    text = "word " * 200
    around = evidence(text, 500, 504).split(" | ")[1]
    assert set(around.split()) == {"word"}
