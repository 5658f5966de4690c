"""What is added to questions that leave out their topic."""

import pytest

from mmgen.pipelines.rag.followups.missing import addition
from mmgen.pipelines.rag.followups.phrases import noun_phrases, tokens
from mmgen.pipelines.rag.followups.tracker import Topics


def added(question: str, before: str = "Tell me about tiger sharks.") -> str:
    topics = Topics()
    topics.observe(before)
    found = tokens(question)
    made = addition(found, noun_phrases(found, question), topics)
    return "" if made is None else question[: made[0]] + made[1] + question[made[0] :]


@pytest.mark.parametrize(
    ("question", "whole"),
    [
        ("What are the main threats and causes?", "What are the main threats and causes of tiger sharks?"),
        ("What is the largest ever caught?", "What is the largest shark ever caught?"),
        ("How many are there?", "How many tiger sharks are there?"),
        ("How many species are known?", "How many species of tiger sharks are known?"),
        ("Which countries participated?", "Which countries participated in tiger sharks?"),
        ("What is the average lifespan in Australia?", "What is the average lifespan of tiger sharks in Australia?"),
        ("What is the role of the teeth?", "What is the role of the teeth in tiger sharks?"),
        ("How is a whale different?", "How is a whale different from tiger sharks?"),
        ("How reliable is the test?", "How reliable is the test of tiger sharks?"),
    ],
)
def test_the_topic_is_added(question: str, whole: str) -> None:
    assert added(question) == whole


@pytest.mark.parametrize(
    "question",
    [
        "Do you need milk for strong bones?",
        "What are the causes of the First World War?",
        "Who was Jacques Cousteau?",
        "How do sharks sleep?",
        "What is the capital of Peru?",
        "Who won the football world cup in 1998?",
        "Does it rain?",
        "What was the safety bicycle?",
        "Are there advantages of knowing the languages?",
        "How are cats and dogs different?",
    ],
)
def test_questions_of_their_own_get_nothing(question: str) -> None:
    assert added(question) == ""


def test_nothing_is_added_of_what_was_only_mentioned() -> None:
    assert added("What are the causes?", "Do bees see red?") == ""
