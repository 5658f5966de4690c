"""Nothing is fitted where nothing was found, and the reliability diagram is drawn."""

from pathlib import Path

import pytest

from mmgen.errors import BadRequest
from mmgen.training.recipes import reader_calibration


def test_without_answers_there_is_nothing_to_fit() -> None:
    with pytest.raises(BadRequest, match="none of 0 development answers are right; there is nothing to calibrate"):
        reader_calibration.fit([])


def test_the_reliability_diagram(tmp_path: Path) -> None:
    reader_calibration.plot([0.1, 0.4, 0.9, 0.95], [0, 0, 1, 1], tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
