"""Conversations whose questions are to stand alone."""

import pytest

from mmgen.pipelines.rag.followups.rewriter import LONGEST, Turn, standalone

CONVERSATIONS = {
    "stone": [
        ("What is the Rosetta Stone?", "a slab of granodiorite", "What is the Rosetta Stone?"),
        ("Who found it?", "Pierre-François Bouchard", "Who found the Rosetta Stone?"),
        ("When?", "July 1799", "When was the Rosetta Stone found?"),
        ("What about its height?", "", "What about the Rosetta Stone's height?"),
        ("Who read the hieroglyphs?", "Jean-François Champollion", "Who read the hieroglyphs of the Rosetta Stone?"),
        ("Which languages did he know?", "", "Which languages did Jean-François Champollion know?"),
    ],
    "coffee": [
        ("Who was Edward Lloyd?", "", "Who was Edward Lloyd?"),
        ("When did he open his coffee house?", "in the 1680s", "When did Edward Lloyd open his coffee house?"),
        ("Where was it?", "Tower Street", "Where was Edward Lloyd's coffee house?"),
        ("Who met there?", "", "Who met in Tower Street?"),
        ("What paper did he start?", "Lloyd's News", "What paper did Edward Lloyd start?"),
        ("How long did it last?", "", "How long did Lloyd's News last?"),
    ],
    "work": [
        ("What is a physician's assistant?", "", "What is a physician's assistant?"),
        ("What does one cost?", "", "What does a physician's assistant cost?"),
        ("How much do they earn?", "", "How much do physician's assistants earn?"),
        ("Is a PA a doctor?", "", "Is a physician's assistant a doctor?"),
        ("What was the Stanford Experiment?", "", "What was the Stanford Experiment?"),
        ("Who was the author of the experiment?", "", "Who was the author of the Stanford Experiment?"),
        ("How did this experiment end?", "", "How did the Stanford Experiment end?"),
    ],
    "streams": [  # a verb of no list after "did", a gerund, an adjective before "and", an abbreviation in focus
        ("When did Netflix shift from DVDs?", "", "When did Netflix shift from DVDs?"),
        ("What are its competitors?", "", "What are Netflix's competitors?"),
        ("What are the effects of consuming energy drinks?", "", "What are the effects of consuming energy drinks?"),
        ("Where are they banned?", "", "Where are energy drinks banned?"),
    ],
    "plants": [
        ("Tell me about lavender plants.", "", "Tell me about lavender plants."),
        ("How is it used?", "", "How is lavender used?"),
        ("What happens if it's not used?", "", "What happens if lavender's not used?"),
    ],
    "machines": [
        ("What is a virtual machine?", "", "What is a virtual machine?"),
        ("What are the main types of VMs?", "", "What are the main types of virtual machines?"),
        ("What is their role?", "", "What is virtual machines' role?"),
    ],
    "places": [  # no place is what something is related to
        ("What is Rock City?", "", "What is Rock City?"),
        ("Are any events related to Bessie Smith?", "", "Are any events related to Bessie Smith?"),
        ("What is Fort Hill?", "", "What is Fort Hill?"),
        ("Are events held there?", "", "Are events held in Fort Hill?"),
    ],
    "theory": [
        ("What is Darwin's theory?", "", "What is Darwin's theory?"),
        ("How do sexual and asexual mating affect it?", "", "How do sexual and asexual mating affect Darwin's theory?"),
        ("How can fossils be used to understand it?", "", "How can fossils be used to understand Darwin's theory?"),
    ],
    "studies": [
        ("Tell me about the Milgram experiment.", "", "Tell me about the Milgram experiment."),
        ("What are other similar experiments?", "", "What are other similar experiments to the Milgram experiment?"),
        ("What was the Asch experiment?", "", "What was the Asch experiment?"),
        (
            "What are the differences between these studies?",
            "",
            "What are the differences between the Milgram experiment and the Asch experiment?",
        ),
        ("What about the BBC experiment?", "", "What about the BBC experiment?"),  # compared with which?
    ],
    "cats": [
        ("Tell me about tigers and lions.", "", "Tell me about tigers and lions."),
        ("What is the difference between them?", "", "What is the difference between tigers and lions?"),
    ],
    "vitamin": [
        ("What is vitamin B12?", "", "What is vitamin B12?"),
        ("Which foods compare between them?", "", "Which foods compare between them?"),  # no two were named
        ("What happens if you eat none?", "", "What happens if you eat none?"),
        ("How has this changed diets?", "", "How has this changed diets?"),  # what would happen, not the vitamin
    ],
    "drinks": [  # in focus, but not spoken of again
        ("Are alcoholics generally depressed?", "", "Are alcoholics generally depressed?"),
        ("Is milk good?", "", "Is milk good?"),
        ("Are there any benefits?", "", "Are there any benefits?"),
    ],
    "cancer": [
        ("What is lung cancer?", "", "What is lung cancer?"),
        ("Is it the same as throat cancer?", "", "Is lung cancer the same as throat cancer?"),
        ("What's the difference in their symptoms?", "", "What's the difference in lung cancer and throat cancer's symptoms?"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_follow_ups(name: str) -> None:
    history: list[Turn] = []
    for question, answer, whole in CONVERSATIONS[name]:
        assert standalone(question, history) == whole
        history.append(Turn(question, answer))


@pytest.mark.parametrize(
    "question",
    [
        "How long does it take to become a doctor?",
        "Is it possible to see Mars?",
        "What is the capital of France?",
        "If a lamp breaks, can it be mended?",
        "Do bees sleep?  ",
        "what is TEA",
        "Was ist Tee?",
        "お茶とは何ですか",
        "it " * LONGEST,
        "?",
    ],
)
def test_what_stands_alone_stays_to_the_letter(question: str) -> None:
    assert standalone(question, [Turn("What is the Rosetta Stone?", "a slab")]) == question


def test_the_first_question_stays() -> None:
    assert standalone("Who found it?", []) == "Who found it?"
    assert standalone("Who found it?", [Turn("", ""), Turn("Thanks!")]) == "Who found it?"
