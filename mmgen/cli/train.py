"""`mmgen train`: recipes from configs/train, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Train the models that mmgen ships, or your own.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keeps `reader` a subcommand while it is the only one."""


@app.command()
def reader(
    config: Annotated[Path, typer.Option(help="A recipe, such as configs/train/reader-cpu.yaml.")],
    data: Annotated[Path | None, typer.Option(help="Folder with squadshifts/, qamr/ and the others.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; an unfinished run there is resumed.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes; the same command goes on.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Another value: learning_rate=1e-4")] = None,
) -> None:
    """The grounded reader: trains, calibrates, and writes OUT/model."""
    from mmgen.config import load, with_overrides
    from mmgen.training import reader as recipe_module

    recipe = with_overrides(load(config, recipe_module.ReaderRecipe), set_ or [])
    given = {name: value for name, value in (("data", data), ("out", out)) if value is not None}
    recipe = recipe.model_copy(update=given)
    finished = recipe_module.train(recipe, stop_after_minutes=minutes)
    if not finished:
        typer.echo(f"stopped; the same command goes on from {recipe.out / 'checkpoint'}")
        return
    typer.echo(f"model: {recipe_module.export(recipe)}")
