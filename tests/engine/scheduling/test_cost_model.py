"""The cost model told of quanta that cost what a formula says."""

import pytest

from mmgen.engine.scheduling.cost_model import GROUPS, SURE, CostModel, MovingAverage

GROUP = ("denoise", "64")


def told(cost: object, sizes: list[int]) -> CostModel:
    costs = CostModel()
    for size in sizes:
        costs.observe(GROUP, size, cost(size))  # type: ignore[operator]
    return costs


def test_sizes_that_were_never_seen_lie_on_the_line() -> None:
    costs = told(lambda n: 20 + 5 * n, [1, 2, 4] * 5)
    assert costs.predict(GROUP, 3) == pytest.approx(35, abs=0.5)
    assert costs.predict(GROUP, 16) == pytest.approx(100, abs=2)


def test_a_size_that_was_seen_is_its_own_mean() -> None:
    costs = told(lambda n: 100 if n == 4 else 10, [1, 2, 4] * 3)
    assert costs.predict(GROUP, 4) == pytest.approx(100)


def test_of_one_size_alone_others_are_guessed_on_the_safe_side() -> None:
    costs = told(lambda n: 40, [4])
    assert costs.predict(GROUP, 8) == 80 and costs.predict(GROUP, 2) == 30


def test_what_changes_is_learned_anew() -> None:
    costs = told(lambda n: 10, [1] * 20)
    for _ in range(30):
        costs.observe(GROUP, 1, 50)
    assert costs.predict(GROUP, 1) == pytest.approx(50, abs=1)


def test_before_any_measurement_the_prior_counts_and_then_no_more() -> None:
    costs = CostModel()
    assert costs.predict(GROUP, 2) is None
    costs.expect(GROUP, 30)
    assert costs.predict(GROUP, 2) == 60 and not costs.known(GROUP)
    for _ in range(SURE):
        costs.observe(GROUP, 1, 8)
    assert costs.predict(GROUP, 1) == 8 and costs.known(GROUP)


def test_an_unknown_key_goes_by_its_runner() -> None:
    costs = told(lambda n: 12, [1])
    assert costs.predict(("denoise", "96"), 1) == 12 and costs.predict(("text", "text"), 1) is None


@pytest.mark.parametrize(("room", "most", "fits"), [(45, 8, 5), (1000, 8, 8), (24.9, 8, 0), (25, 8, 1), (45, 3, 3)])
def test_the_largest_batch_that_is_short_enough(room: float, most: int, fits: int) -> None:
    assert told(lambda n: 20 + 5 * n, list(range(1, 9)) * 3).largest(GROUP, most, room) == fits


def test_of_what_is_unknown_one_is_tried() -> None:
    assert CostModel().largest(GROUP, 8, 1.0) == 1


def test_how_much_of_the_expected_is_used() -> None:
    costs = CostModel()
    assert costs.used("text") == 1
    for _ in range(30):
        costs.observe_end("text", 100, 25)
    costs.observe_end("text", 0, 3)
    assert costs.used("text") == pytest.approx(0.25)


def test_groups_are_forgotten_the_longest_unused_first() -> None:
    costs = CostModel()
    for number in range(GROUPS + 10):
        costs.observe(("call", number), 1, 1.0)
        costs.expect(("other", number), 1.0)
    assert len(costs._lines) == GROUPS == len(costs._priors) and ("call", 9) not in costs._lines


def test_a_mean_begins_plainly_and_then_fades() -> None:
    mean = MovingAverage()
    for value in (2.0, 4.0):
        mean.add(value)
    assert mean.value == 3
    for _ in range(50):
        mean.add(10.0)
    assert mean.value == pytest.approx(10, abs=0.01)


def test_the_least_that_one_can_take() -> None:
    assert CostModel().least(GROUP) is None
    assert told(lambda n: 80, [8] * 3).least(GROUP) == 10, "no more is known"
    assert told(lambda n: 80 + n, [8, 1]).least(GROUP) == 81


def test_a_batch_keeps_clear_of_the_limit_by_what_quanta_vary() -> None:
    costs = CostModel()
    for number in range(40):
        costs.observe(GROUP, 4, 100 + (10 if number % 2 else -10))
    assert costs.largest(GROUP, 4, 110) < 4 <= costs.largest(GROUP, 4, 150)
