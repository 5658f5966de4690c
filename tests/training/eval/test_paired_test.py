"""Over all signs, and over random ones."""

import pytest

from mmgen.training.eval.paired_test import sign_flip_p


def test_few_and_many_differences() -> None:
    assert sign_flip_p([]) == sign_flip_p([0.0, 0.0]) == 1.0
    assert sign_flip_p([1.0, 0.0, 0.5]) == 1 / 4 and sign_flip_p([-1.0, -0.5]) == 1.0
    assert sign_flip_p([1.0] * 5) == 1 / 32
    assert sign_flip_p([1.0] * 20) < 0.001 and sign_flip_p([1.0, -1.0] * 10) == pytest.approx(0.588, abs=0.02)
