"""Nothing is fitted where nothing was found, and the reliability diagram is drawn."""

import math
from pathlib import Path

import pytest

from mmgen.errors import BadRequest
from mmgen.models.reader.calibration import Calibration, SpanAnswer
from mmgen.training.data.qa_data import Question
from mmgen.training.recipes import reader_calibration


def test_without_answers_there_is_nothing_to_fit() -> None:
    with pytest.raises(BadRequest, match="none of 0 development answers are right; there is nothing to calibrate"):
        reader_calibration.fit([])


def test_the_reliability_diagram(tmp_path: Path) -> None:
    reader_calibration.plot([0.1, 0.4, 0.9, 0.95], [0, 0, 1, 1], tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def asked(text: str, odds: float, answerable: bool) -> reader_calibration.CalibrationQuestion:
    question = Question("1", "a title", text, "Oslo it was.", ["Oslo"], [0], "written")
    found = [[SpanAnswer(0, 4, math.log(0.5), math.log(0.5) - odds)]]
    return reader_calibration.CalibrationQuestion(question, answerable, ["Oslo it was."], [0.5], found)


def test_what_is_answered_by_threshold() -> None:
    some = [asked("Where was it?", 3.0, True), asked("Where was it?", 0.6, True), asked("Where was she?", 0.1, False)]
    shares = reader_calibration.by_threshold(some, Calibration(weights=(1.0,)))
    assert shares[0.5] == {"answered": 1.0, "right of these": 1.0, "refused of the others": 0.0}
    assert shares[0.7] == {"answered": 0.5, "right of these": 1.0, "refused of the others": 1.0}
