"""Columns, bars and JSON."""

import json
from dataclasses import dataclass

import pytest

from mmgen.cli import output


@dataclass
class Point:
    x: int


def test_columns_are_as_wide_as_their_content(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_columns(("a", "b"), [("long", "x y"), ("s", "z")])
    assert capsys.readouterr().out == "a     b\nlong  x y\ns     z\n"


def test_bars_count_eighths_and_stay_in_their_width() -> None:
    assert output.bar(0.5, 2) == "█" and output.bar(9, 2) == "██" and output.bar(-1, 2) == ""
    assert output.bar(0.375, 2) == "▊"


def test_json_of_dataclasses_and_of_what_has_a_to_dict(capsys: pytest.CaptureFixture[str]) -> None:
    class Own:
        def to_dict(self) -> dict[str, int]:
            return {"own": 1}

    output.print_json([Point(1), Own(), "é"])
    out = capsys.readouterr().out
    assert json.loads(out) == [{"x": 1}, {"own": 1}, "é"] and "é" in out
