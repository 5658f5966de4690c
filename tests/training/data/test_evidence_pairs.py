"""Pairs of an answer and its surroundings: supported, altered, confused, and followed on both sides."""

import random

from mmgen.training.data import evidence_pairs
from mmgen.training.data.evidence_pairs import EvidencePair, EvidencePairs, followed
from mmgen.training.data.qa_data import Question

PASSAGE = "In 1901 the lamp of Oslo was lit by Olga Dahl. In 1933 the lamp of Bergen was lit by Arne Lie. It was loved."


def asked(text: str, answer: str) -> Question:
    return Question(text, "Lamps", text, PASSAGE, [answer], [PASSAGE.index(answer)], "test")


QUESTIONS = [
    asked("Who lit the lamp of Oslo in 1901?", "Olga Dahl"),
    asked("Who lit the lamp of Bergen in 1933?", "Arne Lie"),
    Question("free", "Lamps", "Was it loved?", PASSAGE, ["yes"], [-1], "test"),
]


def test_a_question_brings_a_supported_and_an_unsupported_pair() -> None:
    pairs = EvidencePairs.of(QUESTIONS)
    assert pairs.questions == QUESTIONS[:2]  # an answer that stands nowhere has no surroundings
    drawn = [pairs.draw(number, random.Random(seed)) for seed in range(20) for number in (0, 1)]
    assert all(len(one) == 2 and one[0].supported and not one[1].supported for one in drawn)
    assert all(pair.text.split(" | ")[0] in ("Olga Dahl", "Arne Lie") for one in drawn for pair in one)
    confused = EvidencePair(QUESTIONS[0].text, drawn[1][0].text, False)
    assert confused in [one[1] for one in drawn]
    assert any(one[1].question not in {q.text for q in QUESTIONS} for one in drawn)  # altered


def test_a_change_is_followed_where_the_text_has_the_words() -> None:
    pair = EvidencePair("Who lit the lamp of Oslo in 1901?", "Olga Dahl | In 1901 the lamp of Oslo was lit by Olga Dahl.", True)
    changed = followed(pair, "Who lit the lamp of New York in 1901?")
    assert changed == EvidencePair(
        "Who lit the lamp of New York in 1901?", "Olga Dahl | In 1901 the lamp of New York was lit by Olga Dahl.", True
    )
    assert followed(pair, "Who didn't lit the lamp of Oslo in 1901?") == pair  # nothing there to put it in place of
    assert followed(EvidencePair("Who is Olga?", "Olga Dahl | Olga Dahl.", True), "Who is Arne?").question == "Who is Olga?"


def test_a_trick_stands_beside_an_answerable_question_of_its_passage() -> None:
    pairs = EvidencePairs.of(QUESTIONS)
    trick = asked("Who lit the lamp of Oslo in 1933?", "Olga Dahl")
    written = asked("Whose was the lamp of Bergen?", "Arne Lie")
    drawn = [pairs.trick(trick, [written], random.Random(seed)) for seed in range(10)]
    assert all(right.supported and wrong.question == trick.text and not wrong.supported for right, wrong in drawn)
    assert {right.question for right, _ in drawn} >= {written.text, QUESTIONS[0].text}
    other = Question("x", "Lamps", "Who?", "Olga.", ["Olga"], [0], "test", "written")
    assert [pair.supported for pair in pairs.trick(other, [], random.Random(0))] == [False]


def test_what_is_no_span_has_none() -> None:
    assert evidence_pairs.span(QUESTIONS[2], random.Random(0)) is None
