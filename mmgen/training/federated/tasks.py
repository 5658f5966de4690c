"""The recipes whose tasks clients can do."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mmgen.config import load
from mmgen.errors import BadRequest, nearest
from mmgen.training.loop import LoopRecipe

TASKS = {
    "texts": ("text_tuning", "TextTuningRecipe", "TextTuningRun"),
    "lm": ("language_model", "LanguageModelRecipe", "LanguageModelRun"),
    "sft": ("sft", "SFTRecipe", "SFTRun"),
    "dpo": ("dpo", "DPORecipe", "DPORun"),
    "reward": ("reward", "RewardRecipe", "RewardRun"),
}
"""Name -> module in mmgen.training.recipes, recipe, task."""


def build(task: str, given: Mapping[str, Any], data: Path, out: Path, steps: int) -> Any:
    """A task of the training loop with the data of one side. Raises BadRequest and ConfigError."""
    if task not in TASKS:
        raise BadRequest(f"task is {task}{nearest(task, [*TASKS])}; federated are {', '.join(TASKS)}")
    for name in ("data", "out", "steps", "minutes"):
        if name in given:
            raise BadRequest(f"recipe has {name}, which each client has of its own; leave it out")
    if task == "lm" and not (given.get("tokenizer") or {}).get("file"):
        raise BadRequest("clients must agree on the tokenizer; set recipe.tokenizer.file to a tokenizer.json that all have")
    module, recipe_class, run_class = TASKS[task]
    found = import_module(f"mmgen.training.recipes.{module}")
    recipe: LoopRecipe = load({**given, "data": data, "out": out, "steps": steps}, getattr(found, recipe_class))
    out.mkdir(parents=True, exist_ok=True)
    return getattr(found, run_class)(recipe)


def examples(task: Any) -> int:
    """Of a side's training data: rows, conversations or pairs."""
    return len(task.rows if hasattr(task, "rows") else task.train)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """What is learned, tied weights once; not buffers."""
    return {name: weight.detach().cpu().clone() for name, weight in model.named_parameters() if weight.requires_grad}
