"""What a policy is rewarded for on prompts that it neither learns from nor is chosen by, before and after."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmgen.training.rl.rewards import RewardedAnswer

SEEDS = 3
"""Answers to each prompt that are drawn at the recipe's temperature, beside the likeliest one."""
SHOWN = 12
Draw = Callable[[int, float], list[RewardedAnswer]]
"""How many answers to each tested prompt, and the temperature -> answers, those of a prompt together."""
Judge = Callable[[Sequence[RewardedAnswer]], Mapping[str, Sequence[float]]]


class Measured:
    """`measured.json`, and `samples.md` with the same prompts' answers before and after side by side."""

    def __init__(self, out: Path) -> None:
        self.path, self.samples = out / "measured.json", out / "samples.md"
        self.found: dict[str, Any] = json.loads(self.path.read_text()) if self.path.is_file() else {}

    def measure(self, name: str, draw: Draw, judge: Judge, temperature: float) -> None:
        """Once a name: "before" or "after"."""
        if name in self.found:
            return
        likeliest, drawn = draw(1, 0.0), draw(SEEDS, temperature)
        figures = {"greedy": _figures(likeliest, judge(likeliest), 1), "sampled": _figures(drawn, judge(drawn), SEEDS)}
        shown = [
            {"prompt": one.messages[-1].get("content", ""), "greedy": one.text, "sampled": drawn[SEEDS * number].text}
            for number, one in enumerate(likeliest[:SHOWN])
        ]
        self.found[name] = {**figures, "samples": shown}
        self.path.write_text(json.dumps(self.found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if "before" in self.found and "after" in self.found:
            self.samples.write_text(self._side_by_side(), encoding="utf-8")

    def lines(self) -> list[str]:
        """What changed, for a log."""
        told = []
        for way in ("greedy", "sampled"):
            before, after = (self.found.get(name, {}).get(way, {}) for name in ("before", "after"))
            for key, value in before.items():
                if key in after:
                    told.append(
                        f"{way} {key}: {value['mean']:.3f} +- {value['error']:.3f} before, "
                        f"{after[key]['mean']:.3f} +- {after[key]['error']:.3f} after"
                    )
        return told

    def _side_by_side(self) -> str:
        rows = ["| prompt | before | after |", "| --- | --- | --- |"]
        for before, after in zip(self.found["before"]["samples"], self.found["after"]["samples"], strict=True):
            for way in ("greedy", "sampled"):
                cells = (before["prompt"] if way == "greedy" else "(drawn)", before[way], after[way])
                rows.append("| " + " | ".join(" ".join(one.split()).replace("|", "\\|") for one in cells) + " |")
        return "\n".join(rows) + "\n"


def _figures(answers: Sequence[RewardedAnswer], parts: Mapping[str, Sequence[float]], each: int) -> dict[str, dict[str, float]]:
    """Means, and standard errors over prompts, `each` answers of which stand together."""
    told: dict[str, Sequence[float]] = {
        **parts,
        "characters": [float(len(one.text)) for one in answers],
        "ended": [float(one.ended) for one in answers],
    }
    found = {}
    for name, values in told.items():
        prompts = [statistics.fmean(values[at : at + each]) for at in range(0, len(values), each)]
        error = statistics.stdev(prompts) / math.sqrt(len(prompts)) if len(prompts) > 1 else 0.0
        found[name] = {"mean": statistics.fmean(prompts), "error": error}
    return found
