"""SQuAD's exact match and F1."""

import pytest

from mmgen.models.reader.answer_match import exact_match, f1


def test_exact_match_ignores_articles_case_and_punctuation() -> None:
    assert exact_match("The Lloyd's", ["lloyds", "lloyd s"]) == 1
    assert exact_match("Tower Street", ["Lombard Street"]) == 0


def test_f1_takes_the_best_reference() -> None:
    assert f1("in July 1823", ["1823", "July 1823"]) == pytest.approx(0.8)
    assert f1("tea", ["coffee"]) == 0
    assert f1("anything", []) == 0
