import pytest

from mmgen import hub
from mmgen.models.lm.tokenizer import Tokenizer
from mmgen.models.reader.question_parts import question_parts


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(hub.resolve("embedded:minilm") / "tokenizer.json")


def test_a_question_that_fits_is_left_alone(tokenizer: Tokenizer) -> None:
    assert question_parts("When is breakfast?", tokenizer, 64) == ["When is breakfast?"]


def test_sentences_that_ask_come_first(tokenizer: Tokenizer) -> None:
    story = "We arrive late with two children and a dog. " * 9
    parts = question_parts(f"{story}When is breakfast? {story}Is there a pool?", tokenizer, 24)
    assert len(parts) == 2 and parts[0].endswith("Is there a pool?") and parts[1].endswith("When is breakfast?")
    assert all(len(tokenizer.encode(part).ids) <= 24 for part in parts)


def test_without_a_question_mark_the_last_sentence_asks(tokenizer: Tokenizer) -> None:
    parts = question_parts("It rained. " * 40 + "Tell me when breakfast is", tokenizer, 16)
    assert len(parts) == 1 and parts[0].endswith("Tell me when breakfast is")


def test_a_sentence_without_end_gives_its_last_words(tokenizer: Tokenizer) -> None:
    (part,) = question_parts("why " * 80 + "then", tokenizer, 16)
    assert part.endswith("then") and len(tokenizer.encode(part).ids) <= 16
    assert question_parts("早餐几点" * 40 + "？", tokenizer, 16)[0].endswith("？")


def test_of_a_long_sentence_the_clause_that_asks_is_left(tokenizer: Tokenizer) -> None:
    story = "we arrive late with two children, and the dog is tired, " * 6
    (part,) = question_parts(f"{story}so please tell me from what time on breakfast is served?", tokenizer, 32)
    assert part == "so please tell me from what time on breakfast is served?"
