"""`mmgen show` and `mmgen reproduce`: what an image says about how it was made, and whether it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmgen.cli.output import print_json

Png = Annotated[Path, typer.Argument(help="A PNG that mmgen wrote.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def show(
    file: Png,
    preview: Annotated[bool, typer.Option("--preview", help="Show the image too, in 24-bit colour.")] = False,
    as_json: Json = False,
) -> None:
    """How an image was made: its recipe."""
    from mmgen.cli.terminal_image import show_image
    from mmgen.pipelines.image import image_io, recipe

    found = recipe.read(file)
    if preview:
        show_image(image_io.read(file), err=as_json)
    if as_json:
        print_json(found.model_dump())
        return
    values = found.model_dump(exclude_defaults=True)
    values["versions"] = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    if found.lora:
        values["lora"] = ", ".join(f"{one.file}@{one.scale:g}" for one in found.lora)
    if found.embedding:
        values["embedding"] = ", ".join(one.file for one in found.embedding)
    values |= {name: part.file or "no file" for name, part in (("image", found.image), ("mask", found.mask)) if part}
    width = max(map(len, values))
    for name, value in values.items():
        typer.echo(f"{name.ljust(width)}  {value}")


def reproduce(
    file: Png,
    image: Annotated[Path | None, typer.Option(help="The image that it began with, if it lies elsewhere.")] = None,
    mask: Annotated[Path | None, typer.Option(help="The mask, if it lies elsewhere.")] = None,
    output: Annotated[str | None, typer.Option("-o", "--output", help="Write what is drawn now to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Draw an image again from its recipe. Exit code 1 if it is not the same bit by bit; then it says why."""
    from mmgen.cli.image_commands import progress_bar
    from mmgen.pipelines import reproduce as again
    from mmgen.pipelines.image import output_paths, recipe
    from mmgen.runtime import Runtime

    seed = recipe.read(file).seed
    path = None if output is None else output_paths.paths(output, [seed])[0]
    if path is not None:
        output_paths.check_writable(path)
    with Runtime() as rt, progress_bar(quiet=as_json) as bar:
        bar.begin(1)
        found = again.reproduce(rt, file, sources=(image, mask), progress=bar.advance)
    if path is not None:
        recipe.save(found.image, found.recipe, path)
    if as_json:
        print_json(found)
    else:
        typer.echo(str(found))
    if not found.equal:
        raise typer.Exit(1)
