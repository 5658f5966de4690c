"""The training loop that recipes share: steps, learning rate, gradient accumulation, checkpoints and time limits."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from mmgen.config import Config, precision_policy
from mmgen.errors import BadRequest
from mmgen.training import checkpoint, mixed_precision, run_cost
from mmgen.training.run_cost import EnergyMeter
from mmgen.training.run_log import RunLog
from mmgen.training.schedules import LearningRateSchedule

log = logging.getLogger(__name__)
T = TypeVar("T")


PARTS = 10_000
"""Of a run that is planned by time, for the learning rate."""


class LoopRecipe(Config):
    """Options that all these recipes share."""

    out: Path = Path("runs/lm")
    steps: int = Field(..., ge=1)
    minutes: float | None = Field(default=None, gt=0)  # in place of `steps`: rates and the end follow the clock
    batch: int = Field(default=32, ge=1)  # rows a step, over all devices
    together: int = Field(default=0, ge=0)  # micro-batch per device, with gradient accumulation; 0: the device's whole share
    schedule: LearningRateSchedule = LearningRateSchedule()
    weight_decay: float = Field(default=0.1, ge=0)
    betas: tuple[float, float] = (0.9, 0.95)
    gradient_clip: float | None = Field(1.0, gt=0)  # norm of the gradients; None: as they are
    mixed_precision: str = "no"  # "bf16", "fp16", or "auto": measured when the run begins
    activation_checkpointing: bool = False
    compile: bool = False
    seed: int = 0
    country: str = ""  # three letters, such as DEU: by whose electricity grams of CO2 are counted
    validate_every: int = Field(default=250, ge=1)  # steps
    checkpoint_minutes: float = Field(5.0, ge=0)

    def numbers(self, step: int, process: int, processes: int) -> range:
        """Indices of a process's rows in a step, counted through the run."""
        return range(step * self.batch, (step + 1) * self.batch)[process::processes]

    def rate(self, step: int, seconds: float) -> float:
        """The learning rate of a step that begins after so many seconds of the run."""
        if self.minutes is not None:
            return self.schedule.rate(int(PARTS * seconds / (60 * self.minutes)), PARTS)
        return self.schedule.rate(step, self.steps)

    def chunks(self, rows: Sequence[T]) -> list[Sequence[T]]:
        """A process's rows in micro-batches."""
        size = self.together or len(rows)
        return [rows[at : at + size] for at in range(0, len(rows), size)]


class TaskHooks:
    """What most tasks leave as it is."""

    minimised = "loss"  # of the losses
    plotted: tuple[str, ...] = ("loss", "validation")  # in loss.png

    def step_rows(self, step: int) -> int | None:
        """Rows of a step, over all devices; None: the recipe's batch."""
        return None

    def validate(self, step: int, record: RunLog, progress: dict[str, Any]) -> None:
        """Logs validation metrics after `step` steps, and exports the model if it is the best so far."""

    def updated(self, step: int) -> None:
        """Every device, after the optimizer's step."""

    def reported(self, step: int, paused: bool) -> None:
        """The main process, at a step's end; `paused`: the run stops here, for good or for now."""


class Task(Protocol):
    """A model with its data and loss, as the loop needs them; `TaskHooks` has what a task can leave out."""

    ylabel: str  # of loss.png
    minimised: str
    plotted: tuple[str, ...]
    optimizer: torch.optim.Optimizer

    @property
    def model(self) -> nn.Module: ...  # what a checkpoint holds
    @property
    def loss(self) -> nn.Module: ...  # a batch -> losses by name; `minimised` is one of them

    def parts(self, step: int, process: int, processes: int) -> Sequence[tuple[Any, float]]:
        """Micro-batches of a process in a step, each with a `to` and its loss weight. Deterministic in seed and step."""
        ...

    def step_rows(self, step: int) -> int | None: ...
    def validate(self, step: int, record: RunLog, progress: dict[str, Any]) -> None: ...
    def updated(self, step: int) -> None: ...
    def reported(self, step: int, paused: bool) -> None: ...


def run(recipe: LoopRecipe, task: Task, record: RunLog, accelerator: Any, stop_after_minutes: float | None = None) -> bool:
    """Trains or resumes; True when all steps are done. Writes metrics.jsonl, loss.png and checkpoints."""
    if recipe.batch % accelerator.num_processes:
        raise BadRequest(f"{recipe.batch} rows do not divide among {accelerator.num_processes} devices; change the batch")
    progress: dict[str, Any] = {"step": 0, "seconds": 0.0, "best": math.inf}
    progress |= checkpoint.load(recipe.out / "checkpoint", task.model, task.optimizer) or {}
    module, optimizer = accelerator.prepare(task.loss, task.optimizer)
    precision = _precision(recipe, task, accelerator, module, progress)
    meter = EnergyMeter(recipe.country)
    if "flops_per_row" not in progress:
        progress["flops_per_row"] = _flops_per_row(recipe, task, accelerator, module, progress["step"])
    record.before = before = progress["seconds"]
    saved = time.monotonic()
    module.train()
    seconds = before
    for step in range(progress["step"], recipe.steps) if recipe.minutes is None else count(progress["step"]):
        if recipe.minutes is not None and seconds >= 60 * recipe.minutes:
            break  # it was at its end before
        rate = recipe.rate(step, seconds)
        losses = optimizer_step(recipe, task, accelerator, module, optimizer, step, rate, precision)
        task.updated(step)
        if accelerator.is_main_process:
            record.add(step, losses, task.step_rows(step) or recipe.batch, rate)
        seconds = _seconds(record, accelerator)
        enough = stop_after_minutes is not None and seconds - before > 60 * stop_after_minutes
        last = step + 1 == recipe.steps if recipe.minutes is None else seconds >= 60 * recipe.minutes
        if ((step + 1) % recipe.validate_every == 0 or last) and accelerator.is_main_process:
            module.eval()
            with accelerator.autocast(), mixed_precision.context(precision), torch.inference_mode():
                task.validate(step + 1, record, progress)
            module.train()
        if (time.monotonic() - saved > 60 * recipe.checkpoint_minutes or enough or last) and accelerator.is_main_process:
            progress |= {"step": step + 1, "of": recipe.steps, "seconds": seconds}
            if enough or last:
                progress |= {name: progress.get(name, 0.0) + value for name, value in meter.stop().items()}
            checkpoint.save(recipe.out / "checkpoint", task.model, optimizer.optimizer, progress)
            record.plot(task.plotted, task.ylabel)
            saved = time.monotonic()
        if accelerator.is_main_process:
            task.reported(step, enough or last)
        if enough and not last:
            return False
        if last and accelerator.is_main_process:
            _tell_cost(recipe, task, accelerator, record, progress, precision)
    return True


def _flops_per_row(recipe: LoopRecipe, task: Task, accelerator: Any, module: nn.Module, step: int) -> float:
    """By the first micro-batch."""
    parts = task.parts(step, accelerator.process_index, accelerator.num_processes)
    rows = (task.step_rows(step) or recipe.batch) * parts[0][1] / accelerator.num_processes
    module.train()
    with accelerator.no_sync(module):
        batch = parts[0][0].to(accelerator.device)
        return run_cost.flops_per_row(module, batch, rows, task.minimised, accelerator.backward)


def _tell_cost(
    recipe: LoopRecipe, task: Task, accelerator: Any, record: RunLog, progress: dict[str, Any], precision: str
) -> None:
    """What the whole run took, logged and noted."""
    energy: dict[str, float] = {name: progress[name] for name in ("energy_kwh", "co2_grams") if name in progress}
    rows = sum(task.step_rows(step) or recipe.batch for step in range(progress["step"]))
    fast = "bf16" if "bf16" in precision else recipe.mixed_precision
    told = run_cost.summary(rows, progress["seconds"], progress["flops_per_row"], accelerator.device, fast, energy)
    record.note(progress["step"], told)
    log.warning("%s", run_cost.line(told))


def _precision(recipe: LoopRecipe, task: Task, accelerator: Any, module: nn.Module, progress: dict[str, Any]) -> str:
    """What `mixed_precision.context` takes; measured once a run, which goes on with it when it is resumed.

    fp32 where several processes train together, and under MMGEN_PRECISION=safe.
    """
    fixed = recipe.mixed_precision != mixed_precision.AUTO or precision_policy("measured") == "safe"
    if fixed or accelerator.device.type != "cpu" or accelerator.num_processes > 1:
        return "no"
    if "precision" not in progress:
        module.train()
        batch = task.parts(progress["step"], 0, 1)[0][0]
        progress["precision"], why = mixed_precision.measured(module, batch, task.minimised)
        log.warning("training in %s: %s", {"no": "fp32"}.get(progress["precision"], "bf16"), why)
    return str(progress["precision"])


def _seconds(record: RunLog, accelerator: Any) -> float:
    """What the run has taken by the main process's clock, so that all processes end at the same step."""
    if accelerator.num_processes == 1:
        return record.seconds
    from accelerate.utils import broadcast

    return float(broadcast(torch.tensor(record.seconds, device=accelerator.device)))


def optimizer_step(
    recipe: LoopRecipe,
    task: Task,
    accelerator: Any,
    module: nn.Module,
    optimizer: Any,
    step: int,
    rate: float,
    precision: str,
) -> dict[str, Tensor]:
    """One optimizer step -> the batch's losses."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    torch.manual_seed(recipe.seed * 1_000_003 + step)  # dropout is seeded per step, so that a resumed run is identical
    parts = task.parts(step, accelerator.process_index, accelerator.num_processes)
    total: dict[str, Tensor] = {}
    for number, (batch, weight) in enumerate(parts):
        with accelerator.no_sync(module) if number + 1 < len(parts) else nullcontext():
            with mixed_precision.context(precision):
                losses = module(batch.to(accelerator.device))
            accelerator.backward(losses[task.minimised] * weight)
        for name, value in losses.items():
            total[name] = total.get(name, 0.0) + value.detach() * weight
    if recipe.gradient_clip is not None:
        accelerator.clip_grad_norm_(module.parameters(), recipe.gradient_clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total
