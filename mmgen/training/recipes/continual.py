"""Continual learning: a causal language model learns one body of texts after another, without forgetting the first.

Every task is a run of the training loop in a folder of its own; one that was stopped goes on there. What a method needs of the
tasks before is computed again from their weights, so that a resumed sequence ends with the same bits.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mmgen import hub
from mmgen.errors import BadRequest
from mmgen.models.lm import lora_files
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.lora import Adapters
from mmgen.models.lm.text_model import TextModel
from mmgen.training import checkpoint, loop, mixed_precision, optimizers
from mmgen.training.chunked_cross_entropy import loss_of
from mmgen.training.data import packing, text_files
from mmgen.training.data.packing import PackedBatch, PackedRows, TokenStream
from mmgen.training.eval.loss_matrix import LossMatrix
from mmgen.training.loop import LoopRecipe, TaskHooks
from mmgen.training.packed_attention import PackedAttention
from mmgen.training.recipes import finetuning
from mmgen.training.recipes import tokenizer as tokenizers
from mmgen.training.run_log import RunLog
from mmgen.training.weight_anchor import WeightAnchor

log = logging.getLogger(__name__)
Method = Literal["none", "replay", "ewc", "lwf", "lora"]
LOSSES = "losses.json"
FREE = {"out", "data", "checkpoint_minutes", "validate_every", "country"}
"""Options that may change where a run is resumed: they change no result."""


class ContinualRecipe(LoopRecipe):
    """configs/train/continual.yaml; `steps` are those of each task."""

    base: str  # a model reference
    data: Path | None = None  # a folder with a file or folder of texts for each task
    tasks: tuple[str, ...] = ()  # their names below `data`, in the order of learning; empty: all, by name
    out: Path = Path("runs/continual")
    method: Method = "replay"
    row: int = Field(0, ge=0)  # tokens of a row; 0: the model's max_tokens
    held_out: float = Field(0.05, gt=0, lt=1)  # share of each task's documents
    validation_rows: int = Field(100, ge=1)  # of each task, at most
    probe: int = Field(32, ge=1)  # first tokens of a row that are not measured: of lora they choose the adapter
    replay: float = Field(0.25, gt=0, lt=1)  # share of a step's rows that come from earlier tasks
    strength: float = Field(1.0, gt=0)  # weight of ewc's penalty, or of lwf's distillation
    fisher_rows: int = Field(64, ge=1)  # of each task, by which ewc judges what it needs
    temperature: float = Field(2.0, gt=0)  # of lwf
    rank: int = Field(8, ge=1)  # of lora's adapters, one a task
    alpha: float = 16.0


class ContinualLearner:
    """The model, and what its method keeps of the tasks before."""

    def __init__(self, recipe: ContinualRecipe, text: TextModel, names: Sequence[str]) -> None:
        self.recipe, self.text, self.lm, self.names = recipe, text, text.lm, names
        self.number = 0  # of the task that is learned
        self.anchor = WeightAnchor(self.lm)
        self.teacher: LanguageModel | None = None
        self.adapters: Adapters | None = None
        if recipe.method == "lora":
            self.lm.requires_grad_(False)
            self.adapters = Adapters(self.lm, lora_files.names_of(hub.resolve(recipe.base), self.lm))

    def begin(self, number: int) -> nn.Module:
        """The task with this number is next -> what it trains."""
        self.number = number
        if self.adapters is None:
            if self.recipe.method == "lwf" and number:
                self.teacher = copy.deepcopy(self.lm).requires_grad_(False).eval()
            return self.lm
        torch.manual_seed(self.recipe.seed + number)
        name = self.names[number]
        self.adapters.add(name, rank=self.recipe.rank, alpha=self.recipe.alpha, targets=None)
        return nn.ModuleDict({ours.replace(".", "/"): lora for ours, lora in self.adapters.layers(name).items()})

    def end(self, rows: PackedRows) -> None:
        """The task was learned from these rows."""
        if self.recipe.method == "ewc":
            count = min(self.recipe.fisher_rows, len(rows))
            self.anchor.add((rows.batch([n]).to(self.lm.device) for n in range(count)), lambda batch: self.nats(batch))

    def nats(self, batch: PackedBatch, adapter: Tensor | str | None = None) -> Tensor:
        """Mean loss of a batch, by adapters of one name or of (B,) numbers."""
        return loss_of(self.lm, self.hidden(batch, adapter), batch.targets)

    def hidden(self, batch: PackedBatch, adapter: Tensor | str | None = None) -> Tensor:
        with nullcontext() if self.adapters is None else self.adapters.use(adapter):
            return self.lm.hidden(batch.ids, PackedAttention(batch.documents), positions=batch.positions)

    def penalties(self, batch: PackedBatch, hidden: Tensor) -> Tensor:
        """What the method adds to the loss of the task that is learned."""
        if self.recipe.method == "ewc":
            return self.recipe.strength * self.anchor.penalty()
        if self.teacher is None:
            return hidden.new_zeros(())
        heat = self.recipe.temperature  # learning without forgetting: Li and Hoiem 2016 (arXiv 1606.09282), eq. 2
        with torch.no_grad():
            before = self.teacher.hidden(batch.ids, PackedAttention(batch.documents), positions=batch.positions)
            wanted = (self.teacher.logits(before) / heat).flatten(0, 1).float().log_softmax(-1)
        now = (self.lm.logits(hidden) / heat).flatten(0, 1).float().log_softmax(-1)
        return self.recipe.strength * heat**2 * F.kl_div(now, wanted, log_target=True, reduction="batchmean")

    @torch.inference_mode()
    def held_out_loss(self, stream: TokenStream, size: int) -> tuple[float, list[int]]:
        """Mean nats behind each row's probe, evenly over the documents -> it, and of lora how often each adapter was chosen."""
        rows = PackedRows(stream, size, shuffled=False)
        count, total, chosen = min(self.recipe.validation_rows, len(rows)), 0.0, [0] * len(self.names)
        for index in range(count):
            batch = rows.batch([index * len(rows) // count]).to(self.lm.device)
            adapter = self._routed(batch)
            if adapter is not None:
                chosen[self.names.index(adapter)] += 1
            targets = batch.targets.clone()
            targets[:, : self.recipe.probe] = -100
            total += float(loss_of(self.lm, self.hidden(batch, adapter), targets))
        return total / count, chosen

    def _routed(self, batch: PackedBatch) -> str | None:
        """The adapter under which a row's probe is likeliest; None: there is none yet."""
        if self.adapters is None or not self.adapters.numbers:
            return None
        targets = batch.targets.clone()
        targets[:, self.recipe.probe :] = -100
        costs = {name: float(loss_of(self.lm, self.hidden(batch, name), targets)) for name in self.adapters.numbers}
        return min(costs, key=lambda name: costs[name])

    def save(self, folder: Path) -> None:
        base = hub.resolve(self.recipe.base)
        if self.adapters is None:
            finetuning.save_model(self.text, base, folder)
        else:
            for name in self.names:
                lora_files.save(self.adapters, name, folder / name, self.recipe.base)


class ContinualLoss(nn.Module):
    def __init__(self, learner: ContinualLearner, learned: nn.Module) -> None:
        super().__init__()
        self.learned, self._learner = learned, [learner]  # a list: what it holds is not trained besides

    def forward(self, batch: PackedBatch) -> dict[str, Tensor]:
        learner = self._learner[0]
        hidden = learner.hidden(batch, learner.names[learner.number] if learner.adapters else None)
        nats = loss_of(learner.lm, hidden, batch.targets)
        return {"loss": nats + learner.penalties(batch, hidden), "nats": nats}


class ContinualTask(TaskHooks):
    """One task of the sequence, as the loop needs it."""

    ylabel = "nats a token"
    plotted: tuple[str, ...] = ("loss", "nats")
    optimizer: torch.optim.Optimizer

    def __init__(self, learner: ContinualLearner, number: int, rows: Sequence[PackedRows]) -> None:
        self.recipe, self.number, self.rows = learner.recipe, number, rows
        self.model = learner.begin(number)
        self.loss = ContinualLoss(learner, self.model)
        self.optimizer = optimizers.adamw(self.model, weight_decay=self.recipe.weight_decay, betas=self.recipe.betas)

    def parts(self, step: int, process: int, processes: int) -> list[tuple[PackedBatch, float]]:
        count = len(self.recipe.numbers(step, process, processes))
        again = self.replayed(count)
        new = range(step * (count - again), (step + 1) * (count - again))
        wanted = {self.number: [place * processes + process for place in new]}
        for place in range(step * again, (step + 1) * again):  # counted by themselves, so that every task has its turn
            row, task = divmod(place * processes + process, self.number)
            wanted.setdefault(task, []).append(row)
        return [
            (self.rows[task].batch(chunk), len(chunk) / count)
            for task, numbers in wanted.items()
            for chunk in self.recipe.chunks(numbers)
        ]

    def replayed(self, count: int) -> int:
        """Of so many rows of a step, those of earlier tasks: at least one, and not all."""
        if self.recipe.method != "replay" or not self.number:
            return 0
        return min(max(1, round(self.recipe.replay * count)), count - 1)


def train(recipe: ContinualRecipe, *, stop_after_minutes: float | None = None) -> bool:
    """Learns the tasks that are left; True when all are learned. Writes `out/losses.json`, `losses.png`, `report.md` and
    `out/model`: the model, or of lora a folder with an adapter for each task."""
    names, began = _names(recipe), time.monotonic()
    accelerator = mixed_precision.accelerator(recipe.mixed_precision)
    if recipe.method == "replay" and recipe.batch < 2 * accelerator.num_processes:
        raise BadRequest(f"batch is {recipe.batch}; replay needs at least 2 rows a step on each device")
    torch.manual_seed(recipe.seed)
    text = TextModel.load(hub.resolve(recipe.base), str(accelerator.device), recipe.base, "fp32")
    size = recipe.row or text.lm.config.max_tokens
    if not recipe.probe < size <= text.lm.config.max_tokens:
        raise BadRequest(
            f"row is {size} tokens; take more than the probe's {recipe.probe}, and at most the model's "
            f"{text.lm.config.max_tokens}"
        )
    with accelerator.main_process_first():
        path = _begun(recipe, names, text)
        streams = [_prepared(recipe, name, path) for name in names]
    rows = [PackedRows(stream, size, recipe.seed) for stream, _ in streams]
    learner, told = ContinualLearner(recipe, text, names), _told(recipe.out / LOSSES)
    _measure(learner, streams, size, told, 0)
    for number, name in enumerate(names):
        left = None if stop_after_minutes is None else max(0.0, stop_after_minutes - (time.monotonic() - began) / 60)
        one = recipe.model_copy(update={"out": recipe.out / f"{number + 1}-{name}"})
        one.out.mkdir(exist_ok=True)
        task = ContinualTask(learner, number, rows)
        if not loop.run(one, task, RunLog(one.out, recipe.steps, unit="rows"), accelerator, left):
            return False
        accelerator.free_memory()  # which else keeps each task's optimizer
        learner.end(rows[number])
        _measure(learner, streams, size, told, number + 1)
        if accelerator.is_main_process:
            _keep(recipe.out / LOSSES, told)
    if accelerator.is_main_process:
        _report(recipe, learner, told)
    return True


def _report(recipe: ContinualRecipe, learner: ContinualLearner, told: Mapping[str, Any]) -> None:
    names = learner.names
    matrix = LossMatrix(names, told["rows"])
    matrix.plot(recipe.out / "losses.png")
    (recipe.out / "report.md").write_text(f"{matrix.table()}\n\n{matrix.summary()}\n")
    log.warning("%s: %s", recipe.method, matrix.summary())
    if recipe.method == "lora":
        right = sum(told["chosen"][-1][task][task] for task in range(len(names)))
        log.warning("the probe chose the task's own adapter for %d of %d rows", right, sum(map(sum, told["chosen"][-1])))
    checkpoint.replaced(recipe.out / "model", learner.save)


def _told(path: Path) -> dict[str, Any]:
    """Losses of the stages that were measured, and of lora the adapters that were chosen."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {"rows": [], "chosen": []}
    return found


def _keep(path: Path, told: Mapping[str, Any]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(told))
    fresh.replace(path)


def _names(recipe: ContinualRecipe) -> list[str]:
    if recipe.data is None or not recipe.data.is_dir():
        raise BadRequest(f"data is {recipe.data}; give a folder with a file or folder of texts for each task")
    names = [*recipe.tasks] or sorted(one.name for one in recipe.data.iterdir() if not one.name.startswith("."))
    if len(names) < 2 or len(set(names)) < len(names):
        raise BadRequest(f"the tasks are {', '.join(names) or 'none'}; a sequence needs at least two different ones")
    for name in names:
        if not (recipe.data / name).exists():
            there = ", ".join(sorted(one.name for one in recipe.data.iterdir()))
            raise BadRequest(f"{recipe.data} holds no {name}; its tasks are {there}")
    return names


def _begun(recipe: ContinualRecipe, names: Sequence[str], text: TextModel) -> Path:
    """The run's folder, with the base's tokenizer. Raises BadRequest where it is another run's."""
    recipe.out.mkdir(parents=True, exist_ok=True)
    said = recipe.model_dump(mode="json", exclude=FREE) | {"tasks": [*names], "tokenizer": text.tokenizer.fast.to_str()}
    about = recipe.out / "run.json"
    if about.is_file():
        before = json.loads(about.read_text())
        for key, value in said.items():
            if before.get(key) != value:
                shown = "" if key == "tokenizer" else f" {before.get(key)}, not {value}"
                raise BadRequest(f"{recipe.out} holds a run with another {key}{shown}; give another folder with --out")
    _keep(about, said)
    tokenizers.save(text.tokenizer.fast, recipe.out)
    return recipe.out / "tokenizer.json"


def _prepared(recipe: ContinualRecipe, name: str, tokenizer: Path) -> tuple[TokenStream, TokenStream]:
    assert recipe.data is not None
    return packing.prepared(text_files.files(recipe.data / name), tokenizer, recipe.held_out, recipe.out)


def _measure(
    learner: ContinualLearner, streams: Sequence[tuple[TokenStream, TokenStream]], size: int, told: dict[str, Any], stage: int
) -> None:
    """Losses after so many tasks, unless they are known from an earlier start."""
    if len(told["rows"]) > stage:
        return
    learner.lm.eval()
    found = [learner.held_out_loss(held_out, size) for _, held_out in streams]
    told["rows"].append([loss for loss, _ in found])
    told["chosen"].append([chosen for _, chosen in found])
    if not all(map(math.isfinite, told["rows"][-1])):
        raise BadRequest(f"after {stage} tasks a held-out loss is not finite; lower schedule.peak, and give another --out")
