"""`mmgen rm`: removes a downloaded model."""

from __future__ import annotations

from typing import Annotated

import typer

from mmgen.cli.listings import megabytes
from mmgen.errors import BadRequest


def remove(
    model: Annotated[str, typer.Argument(help="A repo id, org/name:FILE.gguf, or an embedded model that was pulled.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a downloaded model from this machine. Folders of your own are never removed."""
    from mmgen import hub_cache

    found, paths = hub_cache.find(model)
    size = megabytes(found.bytes + found.partial)
    if not yes and not _agreed(f"Remove {found.reference} ({size} in {found.path})?"):
        typer.echo("nothing was removed")
        raise typer.Exit(1)
    hub_cache.remove(paths)
    typer.echo(f"removed {found.reference}: {size} free again")


def _agreed(question: str) -> bool:
    """Raises BadRequest where nobody answers."""
    try:
        return typer.confirm(question)
    except typer.Abort:
        raise BadRequest("nothing was removed; give --yes where nobody can be asked") from None
