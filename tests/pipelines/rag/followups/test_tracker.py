"""Which topic is in focus, and which one a pronoun means."""

from mmgen.pipelines.rag.followups.tracker import Topics


def after(*turns: tuple[str, str]) -> Topics:
    topics = Topics()
    for question, answer in turns:
        topics.observe(question, answer=answer)
    return topics


def meant(topics: Topics, pronoun: str) -> str:
    found = topics.meant(pronoun)
    return "" if found is None else found.text


def test_what_is_introduced_is_in_focus() -> None:
    topics = after(("What is the Rosetta Stone?", ""), ("How thick is it?", ""), ("Tell me about tea.", ""))
    assert topics.focus is not None and topics.focus.text == "tea" and topics.firm


def test_pronouns_agree() -> None:
    topics = after(("Who found the wrecks near Crete?", "Elias Stadiatis"))
    assert (meant(topics, "he"), meant(topics, "they")) == ("Elias Stadiatis", "the wrecks")
    assert meant(after(("Where is Crete?", "")), "he") == ""


def test_a_described_thing_goes_by_its_name() -> None:
    assert meant(after(("What was the first lighthouse there?", "Boston Light")), "it") == "Boston Light"


def test_places_and_times_of_answers() -> None:
    topics = after(("Where was the stone found?", "near Rashid"), ("When was it found?", "July 1799"))
    assert (topics.place, topics.time) == ("near Rashid", "in July 1799")


def test_shorter_and_longer_names() -> None:
    topics = after(("What is a nurse practitioner?", ""), ("What was the Stanford Experiment?", ""))
    assert (topics.abbreviated("NP") or topics.all[-1]).core == "nurse practitioner" and topics.abbreviated("XY") is None
    found = topics.longer("experiment", "experiment", False)
    assert found is not None and found.text == "the Stanford Experiment" and topics.longer("nurse", "lamp", False) is None


def test_courtesies_are_no_topics() -> None:
    topics = after(("What is tea?", ""), ("Thank you!", "You are welcome"))
    assert topics.focus is not None and topics.focus.text == "tea" and topics.question == "What is tea?"
