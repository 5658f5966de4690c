"""Options that all commands with a recipe share, and how they become the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel

Config = Annotated[Path, typer.Option(help="Recipe file, such as those in configs/train.")]
Data = Annotated[Path | None, typer.Option(help="Folder of the training data.")]
Out = Annotated[Path | None, typer.Option(help="Folder of the run; an unfinished run there is resumed.")]
Minutes = Annotated[float | None, typer.Option(help="Stop after so many minutes; the same command resumes.")]
Values = Annotated[list[str] | None, typer.Option("--set", help="Override a value of the recipe: learning_rate=1e-4")]
R = TypeVar("R", bound=BaseModel)


def read(config: Path, recipe: type[R], data: Path | None, out: Path | None, values: list[str] | None) -> R:
    """Reads a recipe and applies the command line's overrides."""
    from mmgen.config import load, with_overrides

    given = {name: value for name, value in (("data", data), ("out", out)) if value is not None}
    return with_overrides(load(config, recipe), values or []).model_copy(update=given)


def report(finished: bool, out: Path) -> bool:
    if not finished:
        typer.echo(f"stopped; the same command resumes from {out / 'checkpoint'}")
    return finished
