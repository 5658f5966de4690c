"""`mmgen data`: builds or verifies training data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mmgen.training.data.emoji_dataset import DatasetReport

app = typer.Typer(help="Build or check the data sets that models are trained on.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keeps `emoji` a subcommand while it is the only one."""


@app.command()
def emoji(
    folder: Annotated[Path, typer.Argument(help="The data set's folder; built if empty or missing.")],
    packages: Annotated[Path | None, typer.Option(help="Folder with the npm tarballs, to build without a network.")] = None,
    families: Annotated[
        list[str] | None,
        typer.Option("--family", help="Adds the icons of a further set, such as noto-v1 or lucide; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Emoji images with captions: checks FOLDER, or builds it from npm packages. Exit code 1 if it is not the pinned set."""
    from mmgen.training.data import emoji_dataset as data

    filled = folder.is_dir() and any(folder.iterdir())
    report = data.check(folder) if filled else _built(folder, packages, families or [], quiet=as_json)
    if as_json:
        typer.echo(json.dumps(vars(report)))
    else:
        for vendor, count in report.counts.items():
            typer.echo(f"{vendor:12} {count:5} images  {report.licenses[vendor]}")
        typer.echo(f"{sum(report.counts.values())} images of {report.names} things")
        typer.echo(f"sha256 of the rows   {report.rows}\nsha256 of the pixels {report.pixels}")
        typer.echo("this is the pinned set" if report.pinned else f"this is not the pinned set, whose rows have {data.ROWS}")
    if not report.pinned:
        raise typer.Exit(1)


def _built(folder: Path, packages: Path | None, families: list[str], quiet: bool) -> DatasetReport:
    from rich.progress import Progress

    from mmgen.training.data.emoji_build import build

    with Progress(disable=quiet, transient=True) as bar:
        task = bar.add_task("rendering")
        return build(folder, packages, lambda done, total: bar.update(task, completed=done, total=total), families)
