"""`mmgen models`, `mmgen pipelines` and `mmgen plugins`: what is installed; `mmgen rm` removes a download."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mmgen.cli.output import print_columns, print_json
from mmgen.errors import BadRequest, PluginError
from mmgen.plugins import registry
from mmgen.registry import RegistryEntry

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def models(
    as_json: Json = False,
    size: Annotated[bool, typer.Option("--size", help="What was downloaded, by the space that it takes on the disk.")] = False,
) -> None:
    """The models on this machine: those that come with mmgen, then the Hugging Face cache."""
    from mmgen import hub

    if size:
        _sizes(as_json)
        return
    found = hub.models()
    if as_json:
        print_json(found)
        return
    rows = [(m.reference, m.kind, f"{m.bytes / 1e6:.0f} MB", m.licence, str(m.path)) for m in found]
    print_columns(("reference", "kind", "size", "licence", "where"), rows)


def _sizes(as_json: bool) -> None:
    from mmgen import hub_cache

    found = hub_cache.usage()
    if as_json:
        print_json(found)
        return
    rows = [(m.reference, megabytes(m.bytes), megabytes(m.partial) if m.partial else "", str(m.path)) for m in found]
    total = sum(m.bytes + m.partial for m in found)
    rows.append(("all", megabytes(total), "", "`mmgen rm MODEL` removes one" if found else "nothing was downloaded"))
    print_columns(("reference", "on disk", "unfinished", "where"), rows)


def megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB"


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


def pipelines(as_json: Json = False) -> None:
    """List pipelines with summary and signature; `mmgen NAME --help` says more, `mmgen.pipeline(NAME)` is the same."""
    found = [_described(entry) for entry in registry().pipelines]
    if as_json:
        print_json(found)
        return
    for one in found:
        typer.secho(one["name"], bold=True, nl=False)
        typer.echo(f"  {one['summary']}" + (f" (plugin {one['owner']})" if one["owner"] != "builtin" else ""))
        typer.echo(f"  {one['error'] or one['signature']}")


def _described(entry: RegistryEntry) -> dict[str, Any]:
    from mmgen.pipelines import signature

    about = {"name": entry.name, "summary": entry.summary, "owner": entry.owner, "signature": "", "error": ""}
    try:
        read = signature.read(entry.name, registry().pipelines.get(entry.name))
    except PluginError as why:
        return {**about, "error": str(why), "parameters": []}
    first = read.text.partition("\n")[0]
    parameters = [
        {
            "name": p.name,
            "type": str(p).partition(": ")[2].partition(" = ")[0],
            "required": p.required,
            "default": p.default,
            "help": p.help,
        }
        for p in read.parameters
    ]
    return {**about, "summary": entry.summary or first, "signature": str(read), "parameters": parameters}


def plugins(as_json: Json = False) -> None:
    """List installed plugins, what each registered, and errors."""
    found = registry().plugins
    if as_json:
        print_json(found)
        return
    rows = [(p.name, p.version, p.status, p.error or " ".join(p.registered)) for p in found]
    print_columns(("plugin", "version", "status", "registered, or what is wrong"), rows)
