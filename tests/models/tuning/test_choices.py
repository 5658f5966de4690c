"""Choices are kept in files of their own; what is damaged is as if it were not there, and told."""

import json
from pathlib import Path

import pytest

from mmgen.models.tuning.choices import TRIES, Choice, Choices, Row

KEY = {"processor": "x", "torch": "2"}
CHOICE = Choice("denoiser", "embedded:emoji", "bf16", True, "twice as fast", (Row("fp32", 2.0, True, "the reference"),), KEY)


def test_what_was_kept_is_found_for_the_same_machine_alone(tmp_path: Path) -> None:
    kept = Choices(tmp_path / "precision")
    assert kept.get("denoiser", KEY) is None and not list(kept.all())
    kept.put(CHOICE)
    assert kept.get("denoiser", KEY) == CHOICE and list(kept.all()) == [CHOICE]
    assert kept.get("denoiser", {**KEY, "torch": "3"}) is None and kept.get("image encoder", KEY) is None


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"format": 0}', '{"format": 1}', "extra", "type"])
def test_damaged_files_are_told_and_nothing_else(damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = Choices(tmp_path)
    kept.put(CHOICE)
    (path,) = tmp_path.iterdir()
    values = json.loads(path.read_text())
    texts = {"extra": json.dumps(values | {"more": 1}), "type": json.dumps(values | {"precision": 3})}
    path.write_text(texts.get(damage, damage))
    assert kept.get("denoiser", KEY) is None
    assert "measured again" in caplog.text and str(path) in caplog.text


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "precision").write_text("a file")
    Choices(tmp_path / "precision").put(CHOICE)
    assert "cannot be kept" in caplog.text


def test_what_settles_nothing_is_not_tried_for_ever() -> None:
    undecided = [Choice("denoiser", "m", "fp32", False, "busy", (), KEY, tries) for tries in range(1, TRIES + 1)]
    assert [one.final for one in undecided] == [False] * (TRIES - 1) + [True]
