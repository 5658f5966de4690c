"""Causal language model recipe: next-token prediction on packed documents."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from mmgen.errors import BadRequest
from mmgen.models import transformer_config
from mmgen.models.layers.feed_forward import balance_loss
from mmgen.models.lm import language_model
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.tokenizer import Tokenizer
from mmgen.models.transformer_config import TransformerConfig
from mmgen.training import checkpoint, loop, mixed_precision, optimizers, throughput
from mmgen.training.chunked_cross_entropy import loss_of
from mmgen.training.data import packing, text_files
from mmgen.training.data.packing import PackedBatch, PackedRows, TokenStream
from mmgen.training.eval.text_samples import write
from mmgen.training.loop import LoopRecipe, TaskHooks
from mmgen.training.packed_attention import PackedAttention
from mmgen.training.recipes import tokenizer as tokenizers
from mmgen.training.recipes.tokenizer import END, TokenizerRecipe
from mmgen.training.run_log import RunLog


class LanguageModelRecipe(LoopRecipe):
    """configs/train/books-*.yaml, shakespeare-*.yaml"""

    data: Path | None = None  # a file or folder of *.jsonl with a "text" in each line, or *.txt; gzipped or not
    tokenizer: TokenizerRecipe = TokenizerRecipe()
    tokens: Path | None = None  # where tokenizer and texts as tokens are kept, for several runs; None: in `out`
    held_out: float = Field(0.02, gt=0, lt=1)  # share of the documents; of a single document its end
    model: dict[str, Any]  # a TransformerConfig, without its vocabulary
    family: str = "llama"  # how OUT/model is written; "": in mmgen's own format, for shapes that no family has
    row: int = Field(0, ge=0)  # tokens of a row; 0: the model's max_tokens
    unique_tokens: int = Field(0, ge=0)  # of the training documents that are read, epoch after epoch; 0: all
    balance: float = 0.01  # weight of the load-balancing loss of a mixture of experts
    validation_rows: int = Field(200, ge=1)  # at most, evenly spaced over the held-out documents
    prompts: tuple[str, ...] = ("Once upon a time",)  # of samples.txt
    sample_tokens: int = Field(120, ge=1)


class NextTokenLoss(nn.Module):
    """Mean nats of the next tokens of a batch."""

    def __init__(self, lm: LanguageModel, balance: float, compiled: bool = False) -> None:
        super().__init__()
        self.lm, self.balance = lm, balance
        self.hidden = torch.compile(lm.hidden) if compiled else lm.hidden  # in training alone: texts are of every length

    def forward(self, batch: PackedBatch) -> dict[str, Tensor]:
        routing: list[Tensor] = []
        more: dict[str, Any] = {"routing": routing} if self.lm.config.experts else {}
        hidden = self.hidden(batch.ids, PackedAttention(batch.documents), positions=batch.positions, **more)
        nats = loss_of(self.lm, hidden, batch.targets)
        if not routing:
            return {"loss": nats}
        uneven = balance_loss(routing, self.lm.config.experts_per_token)
        return {"loss": nats + self.balance * uneven, "balance": uneven}


class LanguageModelRun(TaskHooks):
    """The `Task` of the loop: model, data and loss."""

    ylabel = "nats a token"
    optimizer: torch.optim.Optimizer

    def __init__(self, recipe: LanguageModelRecipe) -> None:
        self.recipe = recipe
        data = text_files.files(recipe.data)
        recipe.out.mkdir(parents=True, exist_ok=True)
        path = load_tokenizer(recipe, data)
        self.tokenizer = Tokenizer(path)
        stream, self.held_out = packing.prepared(data, path, recipe.held_out, path.parent)
        config = config_of(recipe, self.tokenizer)
        self.size = recipe.row or config.max_tokens
        if self.size > config.max_tokens:
            raise BadRequest(f"row is {self.size} tokens, the model reads {config.max_tokens}; take fewer")
        self.rows = PackedRows(stream.beginning(recipe.unique_tokens), self.size, recipe.seed)
        torch.manual_seed(recipe.seed)
        self.model = LanguageModel(config)
        init_weights(self.model)
        self.model.transformer.checkpointing = recipe.activation_checkpointing
        self.loss = NextTokenLoss(self.model, recipe.balance, recipe.compile)
        self.optimizer = optimizers.adamw(self.model, weight_decay=recipe.weight_decay, betas=recipe.betas)

    def parts(self, step: int, process: int, processes: int) -> list[tuple[PackedBatch, float]]:
        mine = self.recipe.numbers(step, process, processes)
        return [(self.rows.batch(chunk), len(chunk) / len(mine)) for chunk in self.recipe.chunks(mine)]

    def validate(self, step: int, record: RunLog, progress: dict[str, Any]) -> None:
        recipe, folder = self.recipe, self.recipe.out
        nats = validation_loss(self.model, self.held_out, self.size, recipe.validation_rows)
        record.note(step, {"validation": nats, "validation_per_byte": nats * self.held_out.tokens_per_byte})
        end = self.tokenizer.id(END)
        written = [write(self.model, self.tokenizer, prompt, recipe.sample_tokens, end) for prompt in recipe.prompts]
        with (folder / "samples.txt").open("a", encoding="utf-8") as out:
            out.write("\n".join(f"--- step {step}, {nats:.3f} nats a token\n{text}\n" for text in written))
        if nats < progress["best"]:
            progress["best"] = nats
            checkpoint.replaced(folder / "model", lambda fresh: export(self.model, self.tokenizer, recipe.family, fresh))


def train(recipe: LanguageModelRecipe, *, stop_after_minutes: float | None = None) -> bool:
    """Trains or resumes; True when all steps are done. Writes metrics.jsonl, loss.png, samples.txt, checkpoints and,
    whenever the held-out loss is the lowest so far, `out/model`."""
    accelerator = mixed_precision.accelerator(recipe.mixed_precision)
    with accelerator.main_process_first():
        task = LanguageModelRun(recipe)
    flops = task.size * throughput.flops_per_token(task.model.config, task.size)  # of a row
    most = accelerator.num_processes * throughput.peak(accelerator.device, recipe.mixed_precision)

    def of_speed(rows: float) -> dict[str, float]:
        return {"tokens_per_second": round(rows * task.size), "flops_utilization": round(rows * flops / most, 3)}

    record = RunLog(recipe.out, recipe.steps, unit="rows", of_speed=of_speed)
    return loop.run(recipe, task, record, accelerator, stop_after_minutes)


@torch.inference_mode()
def validation_loss(lm: LanguageModel, stream: TokenStream, size: int, most: int, together: int = 8) -> float:
    """Mean cross entropy in nats over at most `most` rows, evenly spaced over the documents; `inf` without a full row."""
    if len(stream.tokens) <= size:
        return math.inf
    rows, device = PackedRows(stream, size, shuffled=False), lm.device
    count = min(most, len(rows))
    numbers = [index * len(rows) // count for index in range(count)]
    total = 0.0
    for first in range(0, count, together):
        batch = rows.batch(numbers[first : first + together]).to(device)
        hidden = lm.hidden(batch.ids, PackedAttention(batch.documents), positions=batch.positions)
        total += float(loss_of(lm, hidden, batch.targets)) * len(batch.ids)
    return total / count


def export(lm: LanguageModel, tokenizer: Tokenizer, family: str, folder: Path) -> None:
    """Weights, shape and tokenizer: loads as a TextModel and, of a family's shape, in transformers."""
    end = tokenizer.id(END)
    language_model.save(lm, folder, family, {"bos_token_id": end, "eos_token_id": end})
    tokenizers.save(tokenizer.fast, folder, lm.config.max_tokens)


def load_tokenizer(recipe: LanguageModelRecipe, data: list[Path]) -> Path:
    """The run's tokenizer.json: there already, given by the recipe, or trained on the documents that are not held out."""
    folder = recipe.tokens or recipe.out
    path = folder / "tokenizer.json"
    if not path.is_file():
        given = recipe.tokenizer
        if given.file is not None:
            fast = Tokenizer(given.file).fast
        else:
            train_on, _ = text_files.split(list(text_files.read(data)), recipe.held_out)
            fast = tokenizers.train(train_on, given.kind, given.vocabulary)
        tokenizers.save(fast, folder)
    return path


def config_of(recipe: LanguageModelRecipe, tokenizer: Tokenizer) -> TransformerConfig:
    """The recipe's shape, with the tokenizer's vocabulary. Raises ConfigError, or BadRequest for one that is not causal."""
    config = transformer_config.load({**recipe.model, "vocab_size": tokenizer.fast.get_vocab_size()})
    if not config.causal or config.encoder is not None:
        raise BadRequest("a language model must be causal; set causal: true and no encoder")
    return config


@torch.no_grad()
def init_weights(lm: LanguageModel) -> None:
    """Initial weights: normal with std 0.02, output projections scaled by 1 / sqrt(2 layers); Radford et al. 2019, 2.3."""
    for name, parameter in lm.named_parameters():
        if parameter.dim() > 1:
            ends = name.endswith(("attention.out.weight", "down.weight"))
            nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * lm.config.layers) if ends else 0.02)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
