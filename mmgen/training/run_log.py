"""Training log: running means as lines of metrics.jsonl, and a plot of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor


class RunLog:
    """Appends one JSON object every `every` steps to `folder/metrics.jsonl`."""

    def __init__(
        self,
        folder: Path,
        of: int,
        *,
        seconds: float = 0.0,
        every: int = 20,
        unit: str = "examples",
        of_speed: Callable[[float], Mapping[str, float]] = lambda speed: {},
    ) -> None:
        """`of`: steps of the whole run; `seconds`: what earlier stretches of it took; `unit`: what is counted a second;
        `of_speed`: what else is said of that speed."""
        self.folder, self.of, self.before, self.every = folder, of, seconds, every
        self.unit, self.of_speed = unit, of_speed
        self.began = time.monotonic()
        self.examples = 0
        self._recent: list[dict[str, Tensor]] = []  # on their device: reading one would make the processor wait for it

    @property
    def seconds(self) -> float:
        """What the run has taken so far."""
        return self.before + time.monotonic() - self.began

    def add(self, step: int, losses: Mapping[str, Tensor], examples: int, rate: float) -> None:
        self._recent.append({name: value.detach() for name, value in losses.items()})
        self.examples += examples
        if len(self._recent) < self.every:
            return
        mean = {name: round(sum(float(r[name]) for r in self._recent) / self.every, 4) for name in self._recent[0]}
        speed = round(self.examples / max(1e-9, time.monotonic() - self.began), 1)
        row = {"step": step + 1, "of": self.of, "rate": round(rate, 7), **mean, "seconds": round(self.seconds)}
        with (self.folder / "metrics.jsonl").open("a") as log:
            log.write(json.dumps({**row, f"{self.unit}_per_second": speed, **self.of_speed(speed)}) + "\n")
        self._recent = []

    def note(self, step: int, values: Mapping[str, float]) -> None:
        """A line of its own, of what is not measured at every step."""
        with (self.folder / "metrics.jsonl").open("a") as log:
            log.write(json.dumps({"step": step, **{name: round(value, 4) for name, value in values.items()}}) + "\n")

    def plot(self, names: Sequence[str], ylabel: str) -> None:
        """metrics.jsonl -> loss.png"""
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt

        path = self.folder / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
        figure, axes = plt.subplots(figsize=(7, 4))
        for name in names:
            told = [r for r in rows if name in r]
            axes.plot([r["step"] for r in told], [r[name] for r in told], label=name, linewidth=1)
        axes.set(xlabel="step", ylabel=ylabel, title=self.folder.name)
        axes.legend()
        figure.tight_layout()
        figure.savefig(self.folder / "loss.png", dpi=100)
        plt.close(figure)
