from mmgen.evaluation.rag_outcomes import unsupported
from mmgen.interfaces import Hit, Passage
from mmgen.pipelines.rag.answer import Answer

PASSAGE = Hit(1, 1, "a", Passage("The lamp of Cordouan was lit in 1823.", 0, 37, heading="Lights of France"), 1.0)


def answered(text: str, abstained: bool = False) -> Answer:
    return Answer("Who lit it for Fresnel?", text, [], 0.9, abstained, "strict", [PASSAGE], {})


def test_numbers_and_names_have_to_stand_somewhere() -> None:
    assert unsupported(answered("Fresnel lit it at Cordouan in France in 1823.")) == []
    assert unsupported(answered("Napoleon lit two lamps in 1824.")) == ["1824", "napoleon", "two"]
    assert unsupported(answered("Napoleon", abstained=True)) == []
