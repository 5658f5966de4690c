import random

from mmgen.training.data.qa_data import Question
from mmgen.training.data.recombined import CONDITIONS, recombined


def question(text: str, title: str = "Lamps") -> Question:
    return Question("1", title, text, "Fresnel lit it.", ["Fresnel"], [0], "a")


def test_each_question_is_changed_in_one_way() -> None:
    asked = [question("Who lit the lamp of Cordouan?"), question("What is the price of oil?")]
    made = [one for seed in range(20) for one in recombined(asked, random.Random(seed))]
    kinds = {one.kind: one.text for one in made if one.text.startswith(("Who lit", "Besides Fresnel, who"))}
    assert kinds["splice"] == "Who lit the lamp of oil?"
    assert kinds["besides"] == "Besides Fresnel, who lit the lamp of Cordouan?"
    assert any(kinds["condition"] == f"Who lit the lamp of Cordouan {condition}?" for condition in CONDITIONS)


def test_other_titles_lend_nothing() -> None:
    asked = [question("Who lit the lamp of Cordouan?"), question("What is the price of oil?", "Oil")]
    assert all(one.kind != "splice" for seed in range(9) for one in recombined(asked, random.Random(seed)))
