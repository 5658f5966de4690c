import math

import pytest

from mmgen.models.reader.calibration import Calibration, SpanAnswer, same_text

TEXTS = ["It was lit in July 1823.", "In July, 1823 the lens shone.", "Tea is a leaf."]
FOUND = [
    [SpanAnswer(14, 23, math.log(0.5), math.log(0.2))],
    [SpanAnswer(3, 13, math.log(0.3), math.log(0.4))],
    [SpanAnswer(0, 3, math.log(0.1), math.log(0.8))],
]


def test_places_that_say_the_same_count_together() -> None:
    best, other = Calibration().candidates(FOUND, TEXTS, [0.5, 0.5, 0.5])
    assert (best.text, [number for number, _ in best.occurrences]) == ("July 1823", [0, 1])
    assert math.exp(best.score) == pytest.approx(0.8)
    assert (other.text, math.exp(other.score)) == ("Tea", pytest.approx(0.1))


def test_similarity_can_change_the_order() -> None:
    calibration = Calibration(similarity=10.0)
    assert calibration.candidates(FOUND, TEXTS, [0.1, 0.1, 0.9])[0].text == "Tea"


def test_confidence_is_a_logistic_regression_over_features() -> None:
    calibration = Calibration(weights=(1.0, 2.0, 0.5, 0.1), bias=-1.0)
    features = calibration.features(calibration.candidates(FOUND, TEXTS, [0.6, 0.4, 0.1]), [0.6, 0.4, 0.1])
    assert features == pytest.approx((math.log(2.5), 0.6, math.log(8), math.log(2)))
    z = -1 + math.log(2.5) + 1.2 + 0.5 * math.log(8) + 0.1 * math.log(2)
    assert calibration.confidence(features) == pytest.approx(1 / (1 + math.exp(-z)))


def test_more_weights_take_more_features() -> None:
    calibration = Calibration(weights=(1.0,) * 9)
    found = [[SpanAnswer(14, 23, math.log(0.5), math.log(0.2), verified=2.5)]]
    candidates = calibration.candidates(found, TEXTS[:1], [0.6])
    features = calibration.features(candidates, [0.6], "When was the lamp of Oslo lit?", TEXTS[:1])
    assert features[4:] == (2.5, 1, 0.5, pytest.approx(2 / 3), 0)
    assert calibration.confidence(features) > 0.5


def test_extremes_stay_between_0_and_1() -> None:
    assert 0 < Calibration(bias=-1e9).confidence((0, 0, 0, 0)) < 1e-9
    assert Calibration(bias=1e9).confidence((0, 0, 0, 0)) <= 1


def test_settings_come_back() -> None:
    calibration = Calibration(weights=(0.1, 0.2, 0.3, 0.4), bias=0.5, similarity=2.0, threshold=0.6)
    assert Calibration.of(calibration.settings() | {"weights": list(calibration.weights)}) == calibration
    assert Calibration.of(None) == Calibration()


def test_same_text() -> None:
    assert same_text("The  U.S. Navy!") == same_text("u s navy")
