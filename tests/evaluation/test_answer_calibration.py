"""Two confidences of answers, calibrated by half of the questions and measured on the others."""

from pathlib import Path

import pytest
import tiny_lm

from mmgen.config import RuntimeConfig
from mmgen.errors import BadRequest
from mmgen.evaluation import answer_calibration
from mmgen.evaluation.answer_calibration import ConfidentAnswer
from mmgen.evaluation.rag_questions import RagQuestion
from mmgen.runtime import Runtime


def test_report() -> None:
    """Sure answers are right three times of four, unsure ones never; the model says 90 of all."""
    answers = [
        ConfidentAnswer("q", "a", sure and number % 4 > 0, 0.95 if sure else 0.05, None if number == 0 else 0.9)
        for number in range(8)
        for sure in (True, False)
        for _ in range(2)
    ]
    found = answer_calibration.report(answers)
    assert (found["questions"], found["right"], found["measured"], found["without a number"]) == (32, 0.375, 16, 4)
    likelihood, said = found["confidences"]["likelihood"], found["confidences"]["verbalised"]
    assert likelihood["as it is"]["ECE"] == pytest.approx(0.125)
    assert likelihood["isotonic"]["ECE"] == pytest.approx(0) and likelihood["isotonic"]["Brier"] == pytest.approx(0.75 / 8)
    assert likelihood["as it is"]["AUROC"] == likelihood["temperature"]["AUROC"] == pytest.approx(0.9)
    assert likelihood["as it is"]["selective"] == {"0.25": 0.75, "0.5": 0.75, "0.75": 0.5, "1": 0.375}
    assert said["as it is"]["ECE"] > 0.4 > said["isotonic"]["ECE"]
    table = answer_calibration.lines(found)
    assert len(table) == 2 + 6 and "4 times no number" in table[0] and "0.125" in table[2]
    with pytest.raises(BadRequest, match="3 questions are too few"):
        answer_calibration.report(answers[:3])


def test_answers_of_a_model(tmp_path: Path) -> None:
    folder = tiny_lm.make(tmp_path / "lm")
    template = "{% for one in messages %}{{ one.content[-8:] }} {% endfor %}"  # a tiny model reads 64 tokens
    (folder / "chat_template.jinja").write_text(template)
    with Runtime(RuntimeConfig(home=tmp_path / "home")) as rt:
        client = rt.text(str(folder))
        asked = [RagQuestion(str(n), f"who {verb}", ("Ann",), (), ()) for n, verb in enumerate(("runs", "sees"))]
        found = answer_calibration.answered(client, asked)
        assert all(0 < one.likelihood <= 1 and not one.right for one in found)
        with pytest.raises(BadRequest, match="the question 'why' has no answers"):
            answer_calibration.answered(client, [RagQuestion("1", "why", (), (), ())])


def test_numbers() -> None:
    assert [answer_calibration._share(text) for text in ("About 80.", "100%", "7.5", "500", "very")] == [
        0.8,
        1,
        0.075,
        None,
        None,
    ]
