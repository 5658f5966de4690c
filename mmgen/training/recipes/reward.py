"""Reward model from pairs of answers: the Bradley-Terry model of preferences (Bradley and Terry 1952; Ouyang et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mmgen.errors import BadRequest, UnreadableFile
from mmgen.models.lm import reward_model
from mmgen.models.lm.reward_model import RewardHead
from mmgen.training import checkpoint, loop, mixed_precision, optimizers
from mmgen.training.data import text_files
from mmgen.training.data.chat_data import ChatExample, example_of, sample_examples
from mmgen.training.data.preference_pairs import conversations
from mmgen.training.eval.calibration import fitted_temperature
from mmgen.training.eval.qa_metrics import calibration_error
from mmgen.training.loop import TaskHooks
from mmgen.training.recipes.finetuning import TunedModel, TuningRecipe, load_base, max_conversation_tokens, tune
from mmgen.training.recipes.sft import split
from mmgen.training.run_log import RunLog

OBJECTIVE = "reward"
"""Of pairs that name none."""


class RewardRecipe(TuningRecipe):
    """configs/train/reward.yaml"""

    centered: float = Field(default=0.01, ge=0)  # weight of (sum of a pair's rewards)^2, which keeps rewards around 0
    weights: dict[str, float] = Field(default_factory=dict)  # of objectives in one number, where there are several


@dataclass(frozen=True)
class RewardPair:
    """A pair, tokenized."""

    chosen: ChatExample
    rejected: ChatExample
    objective: int  # its number
    margin: float  # by how much the chosen answer's reward should be higher at least


@dataclass(frozen=True)
class RewardBatch:
    """The rows are all chosen conversations, then all rejected ones, padded behind their ends."""

    ids: Tensor  # (2 B, N)
    ends: Tensor  # (2 B,) where each ends
    objectives: Tensor  # (B,)
    margins: Tensor  # (B,)

    def to(self, device: torch.device) -> RewardBatch:
        return RewardBatch(*(one.to(device) for one in (self.ids, self.ends, self.objectives, self.margins)))


class RewardLoss(nn.Module):
    """`-log sigmoid(r(chosen) - r(rejected) - margin)` of the pair's objective, and `centered (r(chosen) + r(rejected))^2`.

    The margin is Touvron et al.'s (2023, Llama 2, eq. 2); the second term Eisenstein et al.'s (2023).
    """

    def __init__(self, tuned: TunedModel, head: RewardHead, centered: float) -> None:
        super().__init__()
        self.tuned, self.head, self.centered, self.learned = tuned, head, centered, tuned.learned()

    def forward(self, batch: RewardBatch) -> dict[str, Tensor]:
        chosen, rejected = self.rewards(batch)
        margin = chosen - rejected
        preference = -F.logsigmoid(margin - batch.margins).mean()
        loss = preference + self.centered * ((chosen + rejected) ** 2).mean()
        return {"loss": loss, "preference": preference, "margin": margin.mean(), "accuracy": (margin > 0).float().mean()}

    def rewards(self, batch: RewardBatch) -> tuple[Tensor, Tensor]:
        """(B,) each, of the pairs' own objectives."""
        states = self.tuned.hidden(batch.ids)
        rewards = self.head(states[torch.arange(len(states), device=states.device), batch.ends])
        chosen, rejected = rewards.gather(1, batch.objectives.repeat(2)[:, None])[:, 0].chunk(2)
        return chosen, rejected


class RewardRun(TaskHooks):
    """The `Task` of the loop."""

    ylabel = "nats a pair"
    plotted: tuple[str, ...] = ("preference", "validation")
    optimizer: torch.optim.Optimizer

    def __init__(self, recipe: RewardRecipe, device: torch.device | str = "cpu") -> None:
        self.recipe = recipe
        self.text = load_base(recipe, device)
        self.objectives: list[str] = []
        pairs = self._pairs()
        if unknown := sorted(recipe.weights.keys() - self.objectives):
            raise BadRequest(f"weights name {', '.join(unknown)}; the pairs' objectives are {', '.join(self.objectives)}")
        self.train, self.held_out = split(pairs, recipe.held_out)
        recipe.out.mkdir(parents=True, exist_ok=True)
        self.tuned = tune(recipe, self.text)
        self.head = RewardHead(self.text.lm.config.hidden_size, self.objectives).to(device)
        self.loss = RewardLoss(self.tuned, self.head, recipe.centered)
        self.model = nn.ModuleDict({"tuned": self.tuned.learned(), "head": self.head})
        self.optimizer = optimizers.adamw(self.model, weight_decay=recipe.weight_decay, betas=recipe.betas)

    def _pairs(self) -> list[RewardPair]:
        found: list[RewardPair] = []
        count, most = 0, max_conversation_tokens(self.recipe, self.text)
        for path in text_files.files(self.recipe.data):
            for number, row in enumerate(text_files.rows(path), 1):
                where, count = f"{path}, row {number}", count + 1
                chosen, rejected = (example_of(self.text, one) for one in conversations(row, where))
                objective, margin = row.get("objective", OBJECTIVE), row.get("margin", 0.0)
                if not isinstance(objective, str) or not isinstance(margin, int | float) or not 0 <= margin < float("inf"):
                    raise UnreadableFile(f"{where}: objective should be a name, and margin a number of 0 or more")
                if objective not in self.objectives:
                    self.objectives.append(objective)
                if all(len(one.ids) <= most for one in (chosen, rejected)):
                    found.append(RewardPair(chosen, rejected, self.objectives.index(objective), float(margin)))
        if not found:
            raise BadRequest(f"none of {count} pairs has at most {most} tokens; check the data")
        return found

    def parts(self, step: int, process: int, processes: int) -> list[tuple[RewardBatch, float]]:
        recipe = self.recipe
        mine = sample_examples(self.train, recipe.numbers(step, process, processes), recipe.seed)
        return [(collate(chunk), len(chunk) / len(mine)) for chunk in recipe.chunks(mine)]

    def validate(self, step: int, record: RunLog, progress: dict[str, Any]) -> None:
        """Nats, accuracy and calibration over the held-out pairs; without any the latest weights are exported."""
        margins = self.margins(self.held_out)
        nats, temperature = 0.0, 1.0
        if len(margins):
            nats, temperature = float(-F.logsigmoid(margins).mean()), fitted_temperature(margins)
            record.note(step, {"validation": nats, "validation_accuracy": float((margins > 0).float().mean())})
            record.note(step, {"validation_ece": preference_calibration(margins), "temperature": temperature})
        if not len(margins) or nats < progress["best"]:
            progress["best"] = nats
            checkpoint.replaced(self.recipe.out / "model", lambda folder: self._save(folder, temperature))

    def margins(self, pairs: Sequence[RewardPair]) -> Tensor:
        """(pairs,) reward of the chosen answer less that of the rejected one."""
        found = [torch.zeros(0)]
        for first in range(0, len(pairs), 4):
            chosen, rejected = self.loss.rewards(collate(pairs[first : first + 4]).to(self.text.device))
            found.append((chosen - rejected).float().cpu())
        return torch.cat(found)

    def _save(self, folder: Path, temperature: float) -> None:
        self.tuned.save(folder)
        recipe = self.recipe
        reward_model.save(folder, self.head, base=recipe.base, temperature=temperature, weights=recipe.weights)


def collate(pairs: Sequence[RewardPair]) -> RewardBatch:
    rows = [pair.chosen.ids for pair in pairs] + [pair.rejected.ids for pair in pairs]
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
    ends = torch.tensor([len(row) - 1 for row in rows])
    return RewardBatch(ids, ends, torch.tensor([one.objective for one in pairs]), torch.tensor([one.margin for one in pairs]))


def preference_calibration(margins: Tensor) -> float:
    """Expected calibration error of the probability of the answer that the model prefers."""
    confidences = torch.sigmoid(margins.abs())
    return calibration_error(confidences.tolist(), (margins > 0).float().tolist())


def train(recipe: RewardRecipe, *, stop_after_minutes: float | None = None) -> bool:
    """Trains or resumes; True when all steps are done. `out/model` is what `RewardModel.load` reads."""
    accelerator = mixed_precision.accelerator(recipe.mixed_precision)
    task = RewardRun(recipe, accelerator.device)
    return loop.run(recipe, task, RunLog(recipe.out, recipe.steps), accelerator, stop_after_minutes)
