import pytest

from mmgen.models.reader.answer_kinds import asked_kind
from mmgen.models.reader.answer_subject import of_another

MUSEUM = (
    "The museum was founded in 1911. A hygrometer hangs in the hall. Entry is free on Thursdays and costs four crowns on other "
    "days. It has six rooms. Children pay nothing, adults pay seven pounds."
)
HAUS = "Die Sauna liegt im Keller. Kinder baden kostenlos, Erwachsene zahlen sechs Euro."


@pytest.mark.parametrize(
    ("text", "question", "answer", "another"),
    [
        (MUSEUM, "How much did the hygrometer cost?", "free", True),
        (MUSEUM, "How much is entry on Thursdays?", "free", False),
        (MUSEUM, "How much does admission cost?", "free", False),  # no word of the passage: another word for it
        (MUSEUM, "When was the hygrometer made?", "1911", True),
        (MUSEUM, "When was the museum founded?", "1911", False),
        (MUSEUM, "How many rooms does the museum have?", "six", False),
        (MUSEUM, "How many floors does the museum have?", "six", False),  # "it" may be the museum
        (MUSEUM, "What does it cost for children?", "seven pounds", True),
        (MUSEUM, "How much do adults pay?", "seven pounds", False),
        (HAUS, "Was kostet die Sauna?", "sechs Euro", True),
        (HAUS, "Was kostet das Baden für Erwachsene?", "sechs Euro", False),
        (HAUS, "Was kostet das Baden für Kinder?", "sechs Euro", True),
        ("Item: hook\nPrice: 12\n\nItem: nut\nPrice: 5", "How much is the nut?", "12", False),  # rows have their own rule
        (MUSEUM, "Where is the hygrometer?", "free", False),  # no kind is asked for
    ],
)
def test_of_what_a_price_time_or_number_is_said(text: str, question: str, answer: str, another: bool) -> None:
    start = text.index(answer)
    assert of_another(asked_kind(question), question, text, start, start + len(answer)) is another
