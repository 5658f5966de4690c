"""Requests under way together share each moment."""

import pytest

from mmgen.serve.engines.shared_time import SharedTime


def test_moments_are_shared_and_sum_to_the_time_that_was_busy() -> None:
    now = 0.0
    shared = SharedTime(lambda: now)
    now = 5.0  # idle: nobody pays
    shared.begin("a")
    now = 6.0
    shared.begin("b")
    now = 8.0
    a = shared.end("a")
    now = 9.0
    b = shared.end("b")
    assert a == pytest.approx(2000) and b == pytest.approx(2000) and a + b == pytest.approx(1000 * (9 - 5))
