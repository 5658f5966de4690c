"""Figures before and after, with standard errors over prompts, and answers side by side."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from mmgen.training.rl.measured import SEEDS, Measured
from mmgen.training.rl.rewards import RewardedAnswer


def test_before_and_after(tmp_path: Path) -> None:
    def drawn(texts: Sequence[str], count: int) -> list[RewardedAnswer]:
        return [
            RewardedAnswer([{"role": "user", "content": f"p|{n}"}], text, {})
            for n, text in enumerate(texts)
            for _ in range(count)
        ]

    def judge(answers: Sequence[RewardedAnswer]) -> dict[str, list[float]]:
        return {"reward": [float(one.text == "good") for one in answers]}

    asked = []
    for name, texts in (("before", ("bad", "good")), ("after", ("good", "good")), ("after", ("bad", "bad"))):

        def draw(count: int, temperature: float, texts: Sequence[str] = texts) -> list[RewardedAnswer]:
            asked.append((count, temperature))
            return drawn(texts, count)

        Measured(tmp_path).measure(name, draw, judge, 0.7)
    assert asked == [(1, 0.0), (SEEDS, 0.7)] * 2, "what was measured is not measured again"
    found = json.loads((tmp_path / "measured.json").read_text())
    assert found["before"]["greedy"]["reward"] == {"mean": 0.5, "error": pytest.approx(0.5)}
    assert found["after"]["sampled"]["reward"] == {"mean": 1.0, "error": 0.0}
    assert found["before"]["greedy"]["characters"]["mean"] == 3.5
    assert "| p\\|0 | bad | good |" in (tmp_path / "samples.md").read_text()
    assert "greedy reward: 0.500 +- 0.500 before, 1.000 +- 0.000 after" in Measured(tmp_path).lines()
