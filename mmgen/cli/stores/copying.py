"""`mmgen store copy`: a store's content into another, on this machine or on a server, both ways."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from typing import Annotated

import typer

from mmgen.cli.output import print_json

app = typer.Typer(help="Stores as a whole: copies from SQLite to PostgreSQL and back.", no_args_is_help=True)


@app.callback()
def store() -> None:
    """Stores as a whole: copies from SQLite to PostgreSQL and back."""


@app.command()
def copy(
    source: Annotated[str, typer.Argument(help="Name, path or address, such as notes or postgres://user@host/db.")],
    target: Annotated[str, typer.Argument(help="Likewise; made if it is not there. What it holds besides stays.")],
    history: Annotated[
        bool,
        typer.Option("--history", help="Also every user's history, conversations and batches: an address's, or this home's."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Copy documents, passages, vectors and images; after an interruption the same command goes on from there."""
    from mmgen.library import store_copy
    from mmgen.library.store_handle import StoreHandle
    from mmgen.runtime import Runtime

    with Runtime() as rt, closing(StoreHandle(rt, source)) as one, closing(StoreHandle(rt, target)) as other:
        done = store_copy.copy(one, other)
        records = store_copy.copy_records(one, other) if history else None
    if as_json:
        print_json(asdict(done) | ({"history": asdict(records)} if records else {}))
    else:
        typer.echo("\n".join(map(str, [done, records] if records else [done])))
