"""Each rule on a small passage: what it changes, and what it leaves alone because the passage would answer it."""

import random
from typing import cast

import pytest

from mmgen.training.data.near_words import NearWords
from mmgen.training.data.qa_data import Question
from mmgen.training.data.unanswerable import WordPool, evidence, renamed, unanswerable

TEXT = (
    "The lamp of Cordouan was lit by Fresnel in July 1823. Before the war it had burned oil. "
    "In 1790 Teulere had raised the tower. Paris paid the largest part of it."
)


def question(text: str, answer: str, context: str = TEXT) -> Question:
    return Question("1", "Lamps", text, context, [answer], [context.index(answer)], "a")


@pytest.fixture
def pool() -> WordPool:
    others = [
        question("Who raised the tower in 1790?", "Teulere"),
        question("Who drew the tower of London?", "Wren", "In London Wren drew the tower. The bells of Oxford came later."),
    ]
    return WordPool.of(others)


def kinds(asked: Question, pool: WordPool, seed: int = 0) -> dict[str, Question]:
    return {made.kind: made for made in unanswerable(asked, pool, random.Random(seed))}


def test_evidence_is_the_sentence_with_the_answer() -> None:
    assert evidence(question("Who?", "Teulere")) == "In 1790 Teulere had raised the tower. "


def test_names_are_told_from_words_that_begin_a_sentence(pool: WordPool) -> None:
    assert pool.names_in("The lamp of Cordouan shone. In Paris it was New Year.") == ["Cordouan", "Paris", "New Year"]


def test_a_name_is_swapped_for_one_that_the_sentence_does_not_have(pool: WordPool) -> None:
    asked = question("Who lit the lamp of Cordouan?", "Fresnel")
    swapped = {kinds(asked, pool, seed)["entity"].text for seed in range(12)}
    assert len(swapped) > 1 and asked.text not in swapped
    assert all("Cordouan" not in text and "Fresnel" not in text for text in swapped)


def test_numbers(pool: WordPool) -> None:
    asked = question("Who raised the tower in 1790?", "Teulere")
    swapped = {kinds(asked, pool, seed)["number"].text for seed in range(12)}
    assert "Who raised the tower in 1823?" in swapped and asked.text not in swapped


def test_antonyms_and_negation(pool: WordPool) -> None:
    made = kinds(question("What did it burn before the war?", "oil"), pool)
    assert made["antonym"].text == "What did it burn after the war?"
    assert made["negation"].text == "What didn't it burn before the war?"
    assert made["negation"].answers == ["oil"]


def test_a_word_that_counts_is_replaced_by_one_from_another_question(pool: WordPool) -> None:
    asked = question("Who paid the part?", "Paris")
    made = [kinds(asked, pool, seed).get("word") for seed in range(8)]
    assert "Who drew the part?" in {one.text for one in made if one}


def test_the_answer_is_taken_out_with_its_sentence(pool: WordPool) -> None:
    made = kinds(question("Who raised the tower?", "Teulere"), pool)["removed"]
    assert "Teulere" not in made.context and "Fresnel" in made.context and made.starts == [-1]


def test_nothing_is_made_where_the_sentence_says_both(pool: WordPool) -> None:
    both = "Before and after the war it did not burn oil. It was lit. It shone."
    assert set(kinds(question("What did it burn before the war?", "oil", both), pool)) <= {"removed", "word"}


def test_a_renamed_passage_answers_as_before(pool: WordPool) -> None:
    asked = question("Who lit the lamp of Cordouan in 1823?", "July 1823")
    made = [one for seed in range(5) for one in renamed(asked, pool, random.Random(seed))]
    assert made and all("Cordouan" not in one.text + one.context for one in made)
    assert all(one.context[one.starts[0] :].startswith("July 1823") and not one.kind for one in made)


def test_a_word_of_a_kind_takes_anothers_place(pool: WordPool) -> None:
    class Words:
        def nearest(self, word: str, others: list[str]) -> str | None:
            return "oil" if word == "lamp" and "oil" in others else None

        def of(self, word: str) -> list[str]:
            return ["bell"] if word == "lamp" else []

    asked, words = question("Who lit the lamp of Cordouan?", "Fresnel"), cast(NearWords, Words())
    made = {q.text for seed in range(12) for q in unanswerable(asked, pool, random.Random(seed), words) if q.kind == "near"}
    assert made == {"Who lit the oil of Cordouan?", "Who lit the bell of Cordouan?"}
    assert "near" not in kinds(asked, pool)
