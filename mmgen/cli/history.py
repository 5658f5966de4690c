"""`mmgen history`: past requests and their results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmgen.cli.output import print_columns, print_json
from mmgen.errors import BadRequest

if TYPE_CHECKING:
    from mmgen.stores.history import History, HistoryEntry

app = typer.Typer(help="Request history: search, show, delete, export.", no_args_is_help=True)

User = Annotated[str, typer.Option(help='User, the name of an API key; "local" without keys.')]
Kind = Annotated[str | None, typer.Option(help="Only of this pipeline, such as txt2img.")]
Limit = Annotated[int, typer.Option("--limit", "-n", help="Maximum number of entries, newest first.")]
Before = Annotated[str | None, typer.Option(help="Continue after this id, the last of the previous page.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
WIDEST = 80


@contextmanager
def opened() -> Iterator[History]:
    from mmgen.config import home, load_runtime
    from mmgen.stores.history import History

    config = load_runtime()
    with History(config.history or (config.home or home()) / "history") as history:
        yield history


@app.command("list")
def list_(user: User = "local", kind: Kind = None, limit: Limit = 20, before: Before = None, as_json: Json = False) -> None:
    """The newest requests."""
    search("", user, kind, limit, before, as_json)


@app.command()
def search(
    words: Annotated[str, typer.Argument(help="Words that the request or its result must all contain.")],
    user: User = "local",
    kind: Kind = None,
    limit: Limit = 20,
    before: Before = None,
    as_json: Json = False,
) -> None:
    """Find requests by words in them or in their results, the newest first."""
    with opened() as history:
        found = history.entries(user, words, kind, limit, before)
    if as_json:
        print_json(found)
    elif found:
        print_columns(("id", "when", "kind", "files", "asked"), [_row(entry) for entry in found])
    else:
        typer.echo(f"nothing in the history of {user}" + (f" with: {words}" if words else ""))


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="The request's id.")],
    user: User = "local",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write its files into this folder.")] = None,
) -> None:
    """One request and its result, as JSON."""
    with opened() as history:
        entry = history.get(user, id)
        for file in entry.files if output else ():
            assert output is not None
            _write(output / file.name, history.read(user, id, file.name))
    print_json(entry)


@app.command()
def delete(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of requests.")] = None,
    user: User = "local",
    all_: Annotated[bool, typer.Option("--all", help="All entries of this user.")] = False,
) -> None:
    """Delete requests, with their results and files."""
    if bool(ids) == all_:
        raise BadRequest("there is nothing to delete; give ids, or --all for all" if not ids else "give ids or --all, not both")
    with opened() as history:
        for id in ids or ():
            history.delete(user, id)
        count = history.delete_all(user) if all_ else len(ids or ())
    typer.echo(f"deleted {count}")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="The zip to write.")],
    user: User = "local",
) -> None:
    """Export the history as a zip: history.jsonl and the files."""
    try:
        with opened() as history, file.open("xb") as out:
            count = history.export(user, out)
    except OSError as why:
        raise BadRequest(f"{file} cannot be written ({why.strerror}); give another name") from None
    typer.echo(f"{count} requests in {file}")


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as out:
            out.write(data)
    except OSError as why:
        raise BadRequest(f"{path} cannot be written ({why.strerror}); give another --output") from None


def _row(entry: HistoryEntry) -> tuple[str, ...]:
    when = datetime.fromtimestamp(entry.created).strftime("%Y-%m-%d %H:%M")
    return (entry.id, when, entry.kind, str(len(entry.files)), _short(entry.asked))


def _short(asked: Any) -> str:
    """The first words of the request."""
    for name in ("prompt", "question", "query", "input", "messages"):
        if value := asked.get(name):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            return " ".join(text.split())[:WIDEST]
    return json.dumps(asked, ensure_ascii=False)[:WIDEST]
