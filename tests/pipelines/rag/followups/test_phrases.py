"""Word classes and noun phrases of questions."""

import pytest

from mmgen.pipelines.rag.followups.phrases import noun_phrases, tokens


def classes(question: str) -> str:
    return "".join(token.tag for token in tokens(question))


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is it?", "WXP."),
        ("How does binge drinking affect development?", "WXNNVN."),  # a verb is due behind a subject
        ("What is her name?", "WXSN."),
        ("Who saw her?", "WVP."),
        ("Which book says that he left?", "WNVCPV."),
        ("What does that mean?", "WXPV."),
        ("Is that book his?", "XDNS."),
        ("When was Voyager 2 launched?", "WXNNV."),
        ("How many of the US states voted?", "WDRDNNV."),
        ("Where was the first invented?", "WXDJV."),
    ],
)
def test_word_classes(question: str, expected: str) -> None:
    assert classes(question) == expected


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Tell me about the Bronze Age collapse.", ["the Bronze Age collapse"]),
        ("What's the average starting salary in the UK?", ["the average starting salary", "the UK"]),
        ("What are the different types of sharks?", ["the different types of sharks"]),
        ("What is a physician's assistant?", ["a physician's assistant"]),
        ("", []),
        ("???", []),
    ],
)
def test_noun_phrases(question: str, expected: list[str]) -> None:
    assert [phrase.text for phrase in noun_phrases(tokens(question), question)] == expected


def test_what_a_phrase_is() -> None:
    question = "When did the history of indoor toilets in London begin?"
    history, london = noun_phrases(tokens(question), question)
    assert (history.core, history.role, history.plural, history.name) == ("history of indoor toilets", "subject", False, False)
    assert history.inner is not None and history.inner.text == "indoor toilets" and history.inner.plural
    assert (london.role, london.name) == ("in", True)
