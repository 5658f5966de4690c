"""Histories as callers keep them."""

from typing import Any

import pytest

from mmgen.errors import BadRequest
from mmgen.pipelines.rag.answer import NOT_THERE, Answer
from mmgen.pipelines.rag.conversation import MOST_TURNS, messages_of, only_adds, question_and_history, turns
from mmgen.pipelines.rag.followups.rewriter import Turn

ASKED = {"role": "user", "content": "Who?"}
SAID = {"role": "assistant", "content": "Ann"}


def answer(text: str, abstained: bool) -> Answer:
    return Answer("Who?", text, [], 0.5, abstained, "strict", [], {})


def test_messages_and_answers_are_turns() -> None:
    parts = {"role": "user", "content": [{"type": "text", "text": "When?"}]}
    history = [{"role": "system", "content": "Be kind."}, ASKED, SAID, parts, answer("Ann", False), answer(NOT_THERE, True)]
    assert turns(history) == [Turn("Who?", "Ann"), Turn("When?"), Turn("Who?", "Ann"), Turn("Who?")]
    assert turns([ASKED, {"role": "assistant", "content": NOT_THERE}]) == [Turn("Who?")]
    assert turns([SAID]) == [] and len(turns([ASKED] * 99)) == MOST_TURNS


@pytest.mark.parametrize(
    "history", ["Who?", ["Who?"], {"role": "user"}, [{"role": "bot", "content": ""}], [{"role": "user", "content": 1}], 3]
)
def test_what_is_no_history_is_told(history: Any) -> None:
    with pytest.raises(BadRequest, match='"role": "user"'):
        turns(history)


def test_the_last_message_is_the_question() -> None:
    assert question_and_history(None, [ASKED, SAID, ASKED]) == ("Who?", [ASKED, SAID])
    assert question_and_history("When?", [ASKED, SAID]) == ("When?", [ASKED, SAID])
    with pytest.raises(BadRequest, match="the last message is the assistant's"):
        question_and_history(None, [SAID])
    with pytest.raises(BadRequest, match="there is no question"):
        question_and_history(None, None)


def test_words_that_are_put_in() -> None:
    assert only_adds("How old was the dough?", "How old was the dough of Krakatoa?") and not only_adds("Who?", "Who?")
    assert not only_adds("Who built it?", "Who built the Pharos?") and not only_adds(
        "When was it lit?", "When was the lamp lit?"
    )


def test_an_answer_as_messages_is_the_same_turn() -> None:
    for one in (answer("Ann", False), answer(NOT_THERE, True)):
        assert turns(messages_of(one)) == turns([one])
