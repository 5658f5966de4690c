"""What phrases of a question stand for."""

from mmgen.pipelines.rag.followups.phrases import noun_phrases, tokens
from mmgen.pipelines.rag.followups.topics import Topic, numbered, pair, possessive, relational, topic_of, words_of


def topics(question: str) -> list[Topic]:
    found = tokens(question)
    return [topic_of(phrase, found) for phrase in noun_phrases(found, question)]


def test_persons_and_things() -> None:
    (who,) = topics("Who was Edward Lloyd?")
    assert who.person and who.text == "Edward Lloyd"
    (perhaps,) = topics("When did Edward Lloyd die?")
    assert not perhaps.person and perhaps.perhaps
    (war,) = topics("What caused the Civil War?")
    assert not war.person and not war.perhaps


def test_determiners() -> None:
    (nurse,) = topics("What is a nurse?")
    assert nurse.either and nurse.instead_of("it") == "a nurse" and nurse.instead_of("they") == "nurses"
    assert topics("Which sharks eat some fishes?")[1].text == "fishes"


def test_two_that_are_compared_are_one_plural() -> None:
    question = "Is lung cancer the same as throat cancer?"
    found = tokens(question)
    ranked = [Topic(text, text, "cancer", False, False, weight=3.0) for text in ("lung cancer", "throat cancer")]
    (both,) = pair(ranked, found, noun_phrases(found, question), 1)
    assert both.text == "lung cancer and throat cancer" and both.plural


def test_forms() -> None:
    assert (possessive("bees"), possessive("Io")) == ("bees'", "Io's")
    assert (numbered("nurse", True), numbered("nurses", False)) == ("nurses", "nurse")
    assert words_of("The Lamps") == {"the", "lamp"}
    assert relational(tokens("causes")[0]) and not relational(tokens("goat")[0])
