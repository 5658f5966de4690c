"""What a model that learns tasks one after another knows of each: losses after every stage, forgetting, and transfer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean


@dataclass(frozen=True)
class LossMatrix:
    """Held-out losses, nats a token. Row 0 is the base model's, row i that of the model after task i; a column is a task."""

    names: Sequence[str]  # of the tasks, in the order of learning
    rows: Sequence[Sequence[float]]  # (tasks + 1, tasks)

    @property
    def average(self) -> float:
        """Of the last row."""
        return fmean(self.rows[-1])

    @property
    def forgetting(self) -> float:
        """How far each task but the last is above its lowest loss of the stages before the last, on average; below 0 where it
        got better since. Chaudhry et al. 2018 (arXiv 1801.10112), eq. 3, with losses instead of accuracies."""
        last = len(self.rows) - 1
        return fmean(
            self.rows[last][task] - min(row[task] for row in self.rows[task + 1 : last]) for task in range(len(self.names) - 1)
        )

    @property
    def forward_transfer(self) -> float:
        """How much the tasks before lowered each task's loss, on average, before it was learned itself; Lopez-Paz and Ranzato
        2017 (arXiv 1706.08840), eq. 4, with losses."""
        return fmean(self.rows[0][task] - self.rows[task][task] for task in range(1, len(self.names)))

    def table(self) -> str:
        """As Markdown."""
        stages = ["before", *(f"after {name}" for name in self.names)]
        lines = [f"| | {' | '.join(self.names)} |", f"|---|{'---:|' * len(self.names)}"]
        lines += [
            f"| {stage} | {' | '.join(f'{loss:.3f}' for loss in row)} |" for stage, row in zip(stages, self.rows, strict=False)
        ]
        return "\n".join(lines)

    def summary(self) -> str:
        return (
            f"average {self.average:.3f} nats a token, forgetting {self.forgetting:+.3f}, "
            f"forward transfer {self.forward_transfer:+.3f}"
        )

    def plot(self, path: Path) -> None:
        """A line for each task over the stages."""
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(figsize=(7, 4))
        for task, name in enumerate(self.names):
            axes.plot([row[task] for row in self.rows], marker="o", label=name)
        axes.set_xticks(range(len(self.rows)), ["before", *(f"after {name}" for name in self.names)][: len(self.rows)])
        axes.set(ylabel="nats a token", title=self.summary() if len(self.rows) > len(self.names) else "")
        axes.legend()
        figure.tight_layout()
        figure.savefig(path, dpi=100)
        plt.close(figure)
