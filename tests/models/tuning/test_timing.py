"""Noise flips no choice: laps are compared pair by pair, with a margin."""

import random

import pytest

from mmgen.models.tuning.timing import LEAST, Lap, Timings, interleaved, timed


def timings(safe: list[float], other: list[float], share: float = 1.0) -> Timings:
    return Timings({name: [Lap(s, share * s) for s in row] for name, row in (("safe", safe), ("other", other))})


def test_a_slow_minute_is_slow_for_both() -> None:
    slow = [1.0, 1.0, 9.0, 8.0, 7.0, 1.0]
    assert timings(slow, [0.5 * s for s in slow]).decide("safe", "other") == "faster"
    assert timings(slow, [0.95 * s for s in slow]).decide("safe", "other") == "not faster"


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_is_not_faster(seed: int) -> None:
    draw = random.Random(seed)
    both = ([draw.uniform(1, 1.4) for _ in range(15)] for _ in range(2))
    assert timings(*both).decide("safe", "other") != "faster"


def test_too_few_rounds_or_rounds_that_do_not_agree_settle_nothing() -> None:
    assert timings([1.0] * (LEAST - 1), [0.1] * (LEAST - 1)).decide("safe", "other") == "unsettled"
    assert timings([1.0] * 10, [0.5] * 7 + [2.0] * 3).decide("safe", "other") == "unsettled"


def test_a_busy_machine_needs_more() -> None:
    quiet, busy = timings([1.0] * 6, [0.5] * 6), timings([1.0] * 6, [0.5] * 6, share=0.3)
    assert (quiet.busy, busy.busy) == (False, True)
    assert (quiet.decide("safe", "other"), busy.decide("safe", "other")) == ("faster", "unsettled")
    assert timings([1.0] * 12, [0.5] * 12, share=0.3).decide("safe", "other") == "faster"


def test_passes_take_turns_and_the_first_ones_do_not_count() -> None:
    order: list[str] = []

    def lap(name: str) -> Lap:
        order.append(name)
        return timed(lambda: None)

    made = interleaved({"a": lambda: lap("a"), "b": lambda: lap("b")}, ends=float("inf"), most=3)
    assert order == ["a", "b"] * 4 and made.rounds == 3
    assert interleaved({"a": lambda: lap("a")}, ends=0.0).rounds == 0
