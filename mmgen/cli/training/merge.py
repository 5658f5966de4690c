"""`mmgen merge`: models that were tuned from one base become one."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class MergeMethod(StrEnum):
    linear = "linear"
    task_arithmetic = "task-arithmetic"
    ties = "ties"


def merge(
    base: Annotated[str, typer.Argument(help="The model that the others were tuned from.")],
    models: Annotated[list[str], typer.Argument(help="Models, or folders of LoRA adapters.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    method: Annotated[
        MergeMethod, typer.Option(help="Average weights, add what was learned, or add what most agree on.")
    ] = MergeMethod.ties,
    weight: Annotated[list[float] | None, typer.Option(help="A model's weight, once for each; default: 1.")] = None,
    density: Annotated[float, typer.Option(help="Of ties: the share of what each learned that is kept.")] = 0.2,
) -> None:
    """Merge language models that were tuned from one base, without training."""
    from mmgen import hub
    from mmgen.training import checkpoint, model_merging
    from mmgen.training.recipes import finetuning

    made = model_merging.merge(base, models, method.value, weight or [1.0] * len(models), density)
    checkpoint.replaced(out, lambda folder: finetuning.save_model(made, hub.resolve(base), folder))
    typer.echo(f"{out}: {len(models)} models merged into {base} by {method.value}")
