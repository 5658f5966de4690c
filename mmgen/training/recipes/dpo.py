"""Direct preference optimization (DPO): raises the likelihood of the chosen answer over the rejected one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mmgen.errors import BadRequest
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.text_model import TextModel
from mmgen.training import checkpoint, loop, mixed_precision, optimizers
from mmgen.training.chunked_cross_entropy import IGNORED
from mmgen.training.data import text_files
from mmgen.training.data.chat_data import ChatBatch, ChatExample, collate, example_of, sample_examples
from mmgen.training.data.preference_pairs import conversations
from mmgen.training.loop import TaskHooks
from mmgen.training.recipes.finetuning import TunedModel, TuningRecipe, load_base, max_conversation_tokens, tune
from mmgen.training.recipes.sft import split
from mmgen.training.run_log import RunLog


class DPORecipe(TuningRecipe):
    """configs/train/dpo.yaml"""

    beta: float = Field(default=0.1, gt=0)  # strength of the KL penalty against the base model


@dataclass(frozen=True)
class PreferencePairs:
    """Answer pairs: the rows of `batch` are all chosen answers, then all rejected ones."""

    batch: ChatBatch  # (2 B, N)

    def to(self, device: torch.device) -> PreferencePairs:
        return PreferencePairs(self.batch.to(device))


class DPOLoss(nn.Module):
    """`-log sigmoid(beta (log p/p0 of the chosen - log p/p0 of the rejected))`; Rafailov et al. 2023, eq. 7."""

    def __init__(self, model: TextModel, tuned: TunedModel, beta: float) -> None:
        super().__init__()
        self.lm, self.tuned, self.beta, self.learned = model.lm, tuned, beta, tuned.learned()

    def forward(self, pairs: PreferencePairs) -> dict[str, Tensor]:
        batch = pairs.batch
        with torch.no_grad():
            before = log_likelihood(self.lm, self.tuned.hidden(batch.ids, tuned=False), batch.targets)
        now = log_likelihood(self.lm, self.tuned.hidden(batch.ids), batch.targets)
        chosen, rejected = (self.beta * (now - before)).chunk(2)  # rewards; eq. 5 there
        margin = chosen - rejected
        return {"loss": -F.logsigmoid(margin).mean(), "margin": margin.mean(), "accuracy": (margin > 0).float().mean()}


def log_likelihood(lm: LanguageModel, hidden: Tensor, targets: Tensor) -> Tensor:
    """(B, N, D) states, (B, N) targets -> (B,) sums over the answers' tokens"""
    counts = targets != IGNORED
    logits = lm.logits(hidden[counts]).float()  # (answers' tokens, V)
    log_probs = -F.cross_entropy(logits, targets[counts], reduction="none")
    row = counts.nonzero()[:, 0]
    return torch.zeros(len(targets), device=log_probs.device).index_add(0, row, log_probs)


class DPORun(TaskHooks):
    """The `Task` of the loop."""

    ylabel = "preference loss"
    optimizer: torch.optim.Optimizer

    def __init__(self, recipe: DPORecipe, device: torch.device | str = "cpu") -> None:
        self.recipe = recipe
        self.text = load_base(recipe, device)
        self.train, self.held_out = split(self._pairs(), recipe.held_out)
        recipe.out.mkdir(parents=True, exist_ok=True)
        self.tuned = tune(recipe, self.text, frozen=True)
        self.loss, self.model = DPOLoss(self.text, self.tuned, recipe.beta), self.tuned.learned()
        self.optimizer = optimizers.adamw(self.model, weight_decay=recipe.weight_decay, betas=recipe.betas)

    def _pairs(self) -> list[tuple[ChatExample, ChatExample]]:
        pairs = []
        for path in text_files.files(self.recipe.data):
            for number, row in enumerate(text_files.rows(path), 1):
                chosen, rejected = (example_of(self.text, one) for one in conversations(row, f"{path}, row {number}"))
                pairs.append((chosen, rejected))
        most = max_conversation_tokens(self.recipe, self.text)
        kept = [pair for pair in pairs if all(len(one.ids) <= most and any(one.learned) for one in pair)]
        if not kept:
            raise BadRequest(f"none of {len(pairs)} pairs has answers and at most {most} tokens; check the data")
        return kept

    def parts(self, step: int, process: int, processes: int) -> list[tuple[PreferencePairs, float]]:
        recipe = self.recipe
        mine = sample_examples(self.train, recipe.numbers(step, process, processes), recipe.seed)
        return [(collate_pairs(chunk), len(chunk) / len(mine)) for chunk in recipe.chunks(mine)]

    def validate(self, step: int, record: RunLog, progress: dict[str, Any]) -> None:
        """The mean over the held-out pairs; without any the latest weights are exported."""
        total, count = {"loss": 0.0, "accuracy": 0.0}, len(self.held_out)
        for first in range(0, count, 4):
            part = self.held_out[first : first + 4]
            losses = self.loss(collate_pairs(part).to(self.text.device))
            total = {name: value + float(losses[name]) * len(part) / count for name, value in total.items()}
        if count:
            record.note(step, {"validation": total["loss"], "validation_accuracy": total["accuracy"]})
        if not count or total["loss"] < progress["best"]:
            progress["best"] = total["loss"]
            checkpoint.replaced(self.recipe.out / "model", self.tuned.save)


def collate_pairs(pairs: Sequence[tuple[ChatExample, ChatExample]]) -> PreferencePairs:
    return PreferencePairs(collate([chosen for chosen, _ in pairs] + [rejected for _, rejected in pairs]))


def train(recipe: DPORecipe, *, stop_after_minutes: float | None = None) -> bool:
    """Trains or resumes; True when all steps are done. `out/model`: a model, or an adapter in PEFT's format."""
    accelerator = mixed_precision.accelerator(recipe.mixed_precision)
    task = DPORun(recipe, accelerator.device)
    return loop.run(recipe, task, RunLog(recipe.out, recipe.steps), accelerator, stop_after_minutes)
