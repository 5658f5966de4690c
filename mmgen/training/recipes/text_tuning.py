"""Further training of a causal language model on plain texts: all its weights, or a LoRA adapter."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from mmgen import hub
from mmgen.errors import BadRequest
from mmgen.models.lm.text_model import TextModel
from mmgen.training import checkpoint, optimizers
from mmgen.training.chunked_cross_entropy import loss_of
from mmgen.training.data import packing, text_files
from mmgen.training.data.packing import PackedBatch, PackedRows
from mmgen.training.loop import TaskHooks
from mmgen.training.packed_attention import PackedAttention
from mmgen.training.recipes import finetuning
from mmgen.training.recipes import tokenizer as tokenizers
from mmgen.training.recipes.finetuning import LoraFinetuning, TuningRecipe
from mmgen.training.recipes.language_model import validation_loss
from mmgen.training.run_log import RunLog


class TextTuningRecipe(TuningRecipe):
    """The `recipe` section of configs/train/federated.yaml."""

    data: Path | None = None  # a file or folder of texts
    row: int = Field(0, ge=0)  # tokens of a row; 0: the model's max_tokens
    held_out: float = Field(0.05, gt=0, lt=1)  # share of the documents
    validation_rows: int = Field(100, ge=1)  # at most


class PackedTextLoss(nn.Module):
    """Mean nats of the next tokens, by the base model with what is tuned."""

    def __init__(self, text: TextModel, learned: nn.Module) -> None:
        super().__init__()
        self.learned, self._lm = learned, [text.lm]  # a list: frozen weights are not trained besides

    def forward(self, batch: PackedBatch) -> dict[str, Tensor]:
        (lm,) = self._lm
        hidden = lm.hidden(batch.ids, PackedAttention(batch.documents), positions=batch.positions)
        return {"loss": loss_of(lm, hidden, batch.targets)}


class TextTuningRun(TaskHooks):
    """The `Task` of the loop."""

    ylabel = "nats a token"
    optimizer: torch.optim.Optimizer

    def __init__(self, recipe: TextTuningRecipe, device: torch.device | str = "cpu") -> None:
        self.recipe = recipe
        if recipe.tuning.kind == "prefix":
            raise BadRequest("tuning.kind is prefix, which texts packed into rows cannot have; take lora or full")
        torch.manual_seed(recipe.seed)
        self.text = TextModel.load(hub.resolve(recipe.base), str(device), recipe.base, "fp32")
        most = self.text.lm.config.max_tokens
        self.size = recipe.row or most
        if self.size > most:
            raise BadRequest(f"row is {self.size} tokens, {recipe.base} reads {most}; take fewer")
        recipe.out.mkdir(parents=True, exist_ok=True)
        path = tokenizers.save(self.text.tokenizer.fast, recipe.out)
        stream, self.held_out = packing.prepared(text_files.files(recipe.data), path, recipe.held_out, recipe.out)
        self.rows = PackedRows(stream, self.size, recipe.seed)
        self.tuned = finetuning.tune(recipe, self.text)
        if isinstance(self.tuned, LoraFinetuning):  # for good: no pass here is the base model's alone
            self.tuned.adapters.choice.rows = self.tuned.adapters.numbers[finetuning.NAME]
        self.model = self.tuned.learned()
        self.loss = PackedTextLoss(self.text, self.model)
        self.optimizer = optimizers.adamw(self.model, weight_decay=recipe.weight_decay, betas=recipe.betas)

    def parts(self, step: int, process: int, processes: int) -> list[tuple[PackedBatch, float]]:
        mine = self.recipe.numbers(step, process, processes)
        return [(self.rows.batch(chunk), len(chunk) / len(mine)) for chunk in self.recipe.chunks(mine)]

    def validate(self, step: int, record: RunLog, progress: dict[str, Any]) -> None:
        """Of held-out documents; where they do not fill a row the latest weights are exported."""
        nats = validation_loss(self.text.lm, self.held_out, self.size, self.recipe.validation_rows)
        if math.isfinite(nats):
            record.note(step, {"validation": nats})
        if nats < progress["best"] or nats == math.inf == progress["best"]:
            progress["best"] = nats
            checkpoint.replaced(self.recipe.out / "model", self.tuned.save)
