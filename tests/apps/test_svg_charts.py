"""Charts: shares add up, names are escaped, what did not happen has no key."""

import re

from apps import svg_charts


def test_bars_stand_one_on_another_and_never_above_the_whole() -> None:
    drawn = svg_charts.stacked([2.0, 0.0], [{"a": 0.5, "b": 0.25}, {"a": 0.9, "b": 0.9}], ["a", "b"], "Time")
    heights = [float(height) for height in re.findall(r"height='([\d.]+)'", drawn)]
    assert heights == [60.0, 30.0, 108.0, 12.0]
    assert "<title>a 50%</title>" in drawn


def test_lines_reach_the_top_at_the_largest() -> None:
    drawn = svg_charts.lines([300.0, 0.0], [{"tokens": 0.0}, {"tokens": 80.0}], ["tokens", "steps"], "Work")
    assert "points='0.0,120.0 600.0,0.0'" in drawn and "up to 80" in drawn
    assert ">tokens</span>" in drawn and ">steps</span>" not in drawn


def test_nothing_yet_is_an_empty_chart() -> None:
    assert "<rect" not in svg_charts.stacked([], [], ["a"], "Time") and "up to 1<" in svg_charts.lines([], [], ["a"], "Work")


def test_names_are_escaped() -> None:
    assert "<b>x" not in svg_charts.stacked([0.0], [{"<b>x": 1.0}], ["<b>x"], "<b>x")
