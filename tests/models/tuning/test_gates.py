"""What is as good passes, and what is not is refused with its figure."""

import math

import numpy as np
import pytest

from mmgen.models.tuning import gates

ROWS = np.random.default_rng(0).normal(size=(6, 64)).astype(np.float32)
NOISE = np.random.default_rng(1).normal(size=(6, 64)).astype(np.float32)


@pytest.mark.parametrize(("noise", "accepted"), [(0.0, True), (0.01, True), (0.03, False), (float("nan"), False)])
def test_vectors(noise: float, accepted: bool) -> None:
    verdict = gates.cosine(ROWS, ROWS + noise * NOISE)
    assert verdict.accepted is accepted and verdict.figure.startswith("cosine ")


def test_scores_that_keep_their_order_and_distances_pass() -> None:
    scores = ROWS[0]
    assert gates.scores(scores, scores).accepted
    assert not gates.scores(scores, scores + 0.03 * NOISE[0]).accepted
    assert not gates.scores(scores + 100, scores[::-1] + 100).accepted, "a common offset hides nothing"


@pytest.mark.parametrize(
    ("f1", "off", "accepted"),
    [(0.8, 0.0, True), (0.9, 0.2, True), (0.798, 0.0, False), (0.8, 0.3, False), (0.8, math.nan, False)],
)
def test_answers(f1: float, off: float, accepted: bool) -> None:
    reference, found = np.array([[1.0, 3.0], [0.6, -1.0]]), np.array([[f1, 3.0 + off], [f1, -1.0 - off]])
    assert gates.answers(reference, found).accepted is accepted


@pytest.mark.parametrize(("error", "accepted"), [(0.0, True), (0.019, True), (0.021, False), (float("nan"), False)])
def test_images_are_within_40_db(error: float, accepted: bool) -> None:
    image = np.zeros((2, 3, 4, 4), dtype=np.float32)
    found = image.copy()
    found[1] += error  # 20 log10(2 / 0.02) is 40: the worst image counts
    verdict = gates.images(image, found)
    assert verdict.accepted is accepted, verdict


def test_images_in_company() -> None:
    alone = np.zeros((1, 3, 4, 4))
    for limit in (gates.LEVEL, gates.NEAR):
        assert gates.company(alone, alone + 0.9 * limit, limit).accepted
        assert not gates.company(alone, alone + 1.1 * limit, limit).accepted


@pytest.mark.parametrize(("factor", "accepted"), [(1.004, True), (0.996, True), (1.006, False), (math.inf, False)])
def test_perplexity_within_half_a_percent(factor: float, accepted: bool) -> None:
    assert gates.perplexity(3.0, 3.0 + math.log(factor)).accepted is accepted
    assert not gates.perplexity(3.0, math.nan).accepted


def test_two_gates_are_one_verdict() -> None:
    both = gates.Verdict(True, "a") & gates.Verdict(False, "b")
    assert both == gates.Verdict(False, "a, b")
