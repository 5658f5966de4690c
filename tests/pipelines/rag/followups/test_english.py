"""Forms of words."""

import pytest

from mmgen.pipelines.rag.followups import english


@pytest.mark.parametrize(
    ("form", "base"),
    [("found", "find"), ("carried", "carry"), ("stopped", "stop"), ("making", "make"), ("passes", "pass"), ("lamp", "lamp")],
)
def test_lemma(form: str, base: str) -> None:
    assert english.lemma(form) == base and english.is_verb(form) is (base != "lamp")


@pytest.mark.parametrize(
    ("one", "many"), [("shark", "sharks"), ("city", "cities"), ("box", "boxes"), ("woman", "women"), ("virus", None)]
)
def test_numbers(one: str, many: str | None) -> None:
    assert not english.is_plural(one) and english.singular(one) == one
    if many is not None:
        assert english.is_plural(many) and english.singular(many) == one
