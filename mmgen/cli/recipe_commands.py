"""`mmgen show` and `mmgen reproduce`: what an image says about how it was made, and whether it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmgen.cli.output import print_json

if TYPE_CHECKING:
    from mmgen.pipelines.image.infotext import Infotext
    from mmgen.pipelines.image.recipe import Recipe

Png = Annotated[Path, typer.Argument(help="An image that mmgen wrote, or one with parameters in A1111's form.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def show(
    file: Png,
    preview: Annotated[bool, typer.Option("--preview", help="Show the image too, in 24-bit colour.")] = False,
    as_json: Json = False,
) -> None:
    """How an image was made: its recipe."""
    from mmgen.cli.terminal_image import show_image
    from mmgen.pipelines.image import image_io, infotext, recipe

    image = image_io.read(file)
    said = None if recipe.CHUNK in image.info else infotext.of(image)
    found = None if said else recipe.of(image, str(file))
    if preview:
        show_image(image, err=as_json)
    if as_json:
        print_json(asdict(said) if said else found.model_dump() if found else {})
        return
    for name in recipe.unknown(image):
        typer.echo(f"{name} is of a later version of mmgen, and not known to this one", err=True)
    _print(_of_another_tool(said) if said else _of_ours(found) if found else {})


def _of_another_tool(said: Infotext) -> dict[str, Any]:
    """With what `mmgen reproduce` could not follow."""
    from mmgen.errors import BadRequest
    from mmgen.pipelines.image import infotext

    try:
        notes = infotext.options(said)[1]
    except BadRequest as why:
        notes = [str(why)]
    parts = {"made by": said.tool, "prompt": said.prompt, "negative": said.negative}
    values: dict[str, Any] = {name: value for name, value in parts.items() if value} | dict(said.settings)
    return values | {"not reproduced": "; ".join(notes)}


def _of_ours(found: Recipe) -> dict[str, Any]:
    values = found.model_dump(exclude_defaults=True)
    values["versions"] = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    if found.lora:
        values["lora"] = ", ".join(f"{one.file}@{one.scale:g}" for one in found.lora)
    if found.embedding:
        values["embedding"] = ", ".join(one.file for one in found.embedding)
    values |= {
        name: part.file or "no file"
        for name, part in (("image", found.image), ("mask", found.mask), ("vae", found.vae))
        if part
    }
    return values


def _print(values: Mapping[str, Any]) -> None:
    width = max(map(len, values), default=0)
    for name, value in values.items():
        typer.echo(f"{name.ljust(width)}  {value}")


def reproduce(
    file: Png,
    image: Annotated[Path | None, typer.Option(help="The image that it began with, if it lies elsewhere.")] = None,
    mask: Annotated[Path | None, typer.Option(help="The mask, if it lies elsewhere.")] = None,
    model: Annotated[str | None, typer.Option(help="Draw with this model; other tools name theirs otherwise.")] = None,
    output: Annotated[str | None, typer.Option("-o", "--output", help="Write what is drawn now to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Draw an image again from its recipe. Exit code 1 if it is not the same bit by bit; then it says why."""
    from mmgen.cli.image_commands import progress_bar
    from mmgen.pipelines import reproduce as again
    from mmgen.pipelines.image import output_paths, recipe
    from mmgen.runtime import Runtime

    seed = _seed(file)
    path = None if output is None else output_paths.paths(output, [seed])[0]
    if path is not None:
        output_paths.check_writable(path)
    with Runtime() as rt, progress_bar(quiet=as_json) as bar:
        bar.begin(1)
        found = again.reproduce(rt, file, sources=(image, mask), model=model, progress=bar.advance)
    if path is not None:
        recipe.save(found.image, found.recipe, path)
    if as_json:
        print_json(found)
    else:
        typer.echo(str(found))
    if not found.equal:
        raise typer.Exit(1)


def _seed(file: Path) -> int:
    """For the name of what is drawn."""
    from mmgen.pipelines.image import image_io, infotext, recipe

    image = image_io.read(file)
    said = None if recipe.CHUNK in image.info else infotext.of(image)
    if said is None:
        return recipe.of(image, str(file)).seed
    seed = said.settings.get("Seed", "0")
    return int(seed) if seed.isdecimal() else 0
