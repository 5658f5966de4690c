from pathlib import Path

import pytest
from PIL import Image

from mmgen.training.eval.loss_matrix import LossMatrix

MATRIX = LossMatrix(["a", "b", "c"], [[3.0, 4.0, 5.0], [1.0, 3.5, 5.0], [1.5, 2.0, 4.0], [2.5, 2.2, 1.8]])


def test_by_hand() -> None:
    assert MATRIX.average == pytest.approx((2.5 + 2.2 + 1.8) / 3)
    assert MATRIX.forgetting == pytest.approx(((2.5 - 1.0) + (2.2 - 2.0)) / 2)
    assert MATRIX.forward_transfer == pytest.approx(((4.0 - 3.5) + (5.0 - 4.0)) / 2)


def test_what_got_better_since_is_forgotten_less_than_nothing() -> None:
    assert LossMatrix(["a", "b"], [[3.0, 3.0], [2.0, 3.0], [1.5, 1.0]]).forgetting == -0.5


def test_seen(tmp_path: Path) -> None:
    MATRIX.plot(tmp_path / "losses.png")
    with Image.open(tmp_path / "losses.png") as seen:
        assert seen.size == (700, 400)
    assert MATRIX.table().splitlines()[3] == "| after a | 1.000 | 3.500 | 5.000 |"
