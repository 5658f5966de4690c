"""Supervised fine-tuning (SFT) on conversations: loss on the assistant's tokens only."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from mmgen.errors import BadRequest
from mmgen.models.lm.text_model import TextModel
from mmgen.training import checkpoint, loop, mixed_precision, optimizers
from mmgen.training.chunked_cross_entropy import IGNORED, loss_of
from mmgen.training.data import chat_data, text_files
from mmgen.training.data.chat_data import ChatBatch, ChatExample, collate, example_of, sample_examples
from mmgen.training.loop import TaskHooks
from mmgen.training.recipes.finetuning import TunedModel, TuningRecipe, load_base, max_conversation_tokens, tune
from mmgen.training.run_log import RunLog


class SFTRecipe(TuningRecipe):
    """configs/train/sft.yaml"""

    max_tokens: int = Field(default=0, ge=0)  # longer conversations are skipped; 0: the model's context length


class AnswerLoss(nn.Module):
    """Mean cross entropy over the assistant's tokens, in nats."""

    def __init__(self, model: TextModel, tuned: TunedModel) -> None:
        super().__init__()
        self.lm, self.tuned, self.learned = model.lm, tuned, tuned.learned()

    def forward(self, batch: ChatBatch) -> dict[str, Tensor]:
        return {"loss": loss_of(self.lm, self.tuned.hidden(batch.ids), batch.targets)}


class SFTRun(TaskHooks):
    """The `Task` of the loop."""

    ylabel = "nats a token of answers"
    optimizer: torch.optim.Optimizer

    def __init__(self, recipe: SFTRecipe, device: torch.device | str = "cpu") -> None:
        self.recipe = recipe
        self.text = load_base(recipe, device)
        self.train, self.held_out = split(self._examples(), recipe.held_out)
        recipe.out.mkdir(parents=True, exist_ok=True)
        self.tuned = tune(recipe, self.text)
        self.loss, self.model = AnswerLoss(self.text, self.tuned), self.tuned.learned()
        self.optimizer = optimizers.adamw(self.model, weight_decay=recipe.weight_decay, betas=recipe.betas)

    def _examples(self) -> list[ChatExample]:
        paths = text_files.files(self.recipe.data)
        every = [example_of(self.text, messages) for path in paths for messages in chat_data.conversations(path)]
        most = self.recipe.max_tokens or max_conversation_tokens(self.recipe, self.text)
        kept = [one for one in every if len(one.ids) <= most and any(one.learned)]
        if not kept:
            raise BadRequest(f"none of {len(every)} conversations has an answer and at most {most} tokens; check the data")
        return kept

    def parts(self, step: int, process: int, processes: int) -> list[tuple[ChatBatch, float]]:
        """Micro-batches weighted by their tokens with loss."""
        recipe = self.recipe
        mine = sample_examples(self.train, recipe.numbers(step, process, processes), recipe.seed)
        batches = [collate(chunk) for chunk in recipe.chunks(mine)]
        counts = [int((batch.targets != IGNORED).sum()) for batch in batches]
        return [(batch, count / max(1, sum(counts))) for batch, count in zip(batches, counts, strict=True)]

    def validate(self, step: int, record: RunLog, progress: dict[str, Any]) -> None:
        """Of all held-out conversations, the mean over their tokens; without any the latest weights are exported."""
        total = count = 0.0
        for first in range(0, len(self.held_out), 8):
            batch = collate(self.held_out[first : first + 8]).to(self.text.device)
            tokens = int((batch.targets != IGNORED).sum())
            total, count = total + tokens * float(self.loss(batch)["loss"]), count + tokens
        nats = total / count if count else 0.0
        if count:
            record.note(step, {"validation": nats})
        if not count or nats < progress["best"]:
            progress["best"] = nats
            checkpoint.replaced(self.recipe.out / "model", self.tuned.save)


def split(examples: list[Any], share: float) -> tuple[list[Any], list[Any]]:
    """Training examples, and the last ones as held-out examples."""
    border = len(examples) - round(share * len(examples))
    return examples[: max(1, border)], examples[max(1, border) :]


def train(recipe: SFTRecipe, *, stop_after_minutes: float | None = None) -> bool:
    """Trains or resumes; True when all steps are done. `out/model`: a model, or an adapter in PEFT's format."""
    accelerator = mixed_precision.accelerator(recipe.mixed_precision)
    task = SFTRun(recipe, accelerator.device)
    return loop.run(recipe, task, RunLog(recipe.out, recipe.steps), accelerator, stop_after_minutes)
