"""Questions written by hand find their passages by a hash."""

import json
from pathlib import Path

import pytest

from mmgen.errors import BadRequest
from mmgen.training.data.qa_data import Question
from mmgen.training.data.tricks import digest, read_tricks

PASSAGE = "Olga lit the lamp of Oslo."
QUESTION = Question("1", "Lamps", "Who lit it?", PASSAGE, ["Olga"], [0], "a")


def written(path: Path, *rows: dict[str, str]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_answerable_and_unanswerable_ones(tmp_path: Path) -> None:
    of = {"passage": digest(PASSAGE)}
    path = written(
        tmp_path / "tricks.jsonl",
        {**of, "question": "Who lit the lamp of Bergen?", "plausible": "Olga"},
        {**of, "question": "Where was it lit?", "right": "Oslo"},
        {"passage": "0" * 16, "question": "Of another data set?", "plausible": "no"},
    )
    trick, fair = read_tricks(path, [QUESTION])
    assert (trick.kind, trick.answers, trick.starts, trick.context) == ("written", ["Olga"], [0], PASSAGE)
    assert (fair.kind, fair.text, fair.starts) == ("", "Where was it lit?", [21])


def test_words_that_are_not_in_the_passage_are_told(tmp_path: Path) -> None:
    path = written(tmp_path / "tricks.jsonl", {"passage": digest(PASSAGE), "question": "Who?", "plausible": "Arne"})
    with pytest.raises(BadRequest, match="line 1: 'Arne' does not stand in the passage"):
        read_tricks(path, [QUESTION])
