"""Questions that are a part of the one before."""

import pytest

from mmgen.pipelines.rag.followups.ellipsis import completed
from mmgen.pipelines.rag.followups.phrases import tokens
from mmgen.pipelines.rag.followups.tracker import Topics


def whole(before: str, question: str) -> str | None:
    topics = Topics()
    topics.observe(before)
    return completed(question, tokens(question), topics)


@pytest.mark.parametrize(
    ("before", "question", "expected"),
    [
        ("Are angora goats good for meat?", "What about boer goats?", "Are boer goats good for meat?"),
        ("What's the salary of a nurse in the UK?", "And in the US?", "What's the salary of a nurse in the US?"),
        ("Who won the race in 1903?", "In 1904?", "Who won the race in 1904?"),
        ("When did Voyager 2 reach Neptune?", "And Uranus?", "When did Voyager 2 reach Uranus?"),
        ("Is the sky blue?", "Why?", "Why is the sky blue?"),
        ("When did the ship sink?", "And why?", "Why did the ship sink?"),
        ("Who found the Rosetta Stone?", "When?", "When was the Rosetta Stone found?"),
        ("Who wrote the letters?", "When?", "When were the letters written?"),
        ("Did the film win any awards?", "How many?", "How many awards did the film win?"),
        ("At what temperature is bread baked?", "For how long?", "For how long is bread baked?"),
        ("What is the Pharos?", "Where?", "Where is the Pharos?"),
        ("Tell me about coffee.", "What about the effects?", "What about the effects of coffee?"),
    ],
)
def test_the_question_before_completes_it(before: str, question: str, expected: str) -> None:
    assert whole(before, question) == expected


@pytest.mark.parametrize(
    ("before", "question"),
    [
        ("What is lung cancer?", "What is throat cancer?"),
        ("What is lung cancer?", "What about its symptoms?"),  # a pronoun's work
        ("Tell me about tea.", "What about the Eddystone?"),
        ("How many?", "Why?"),
        ("Tell me about tea.", "And?"),
    ],
)
def test_what_is_none_or_cannot_be_told_stays(before: str, question: str) -> None:
    assert whole(before, question) is None
