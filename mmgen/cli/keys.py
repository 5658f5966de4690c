"""`mmgen keys`: the server's API keys, with their scopes and rate limits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from mmgen.cli.output import print_columns, print_json

if TYPE_CHECKING:
    from mmgen.stores.keys import ApiKey, KeyStore

app = typer.Typer(help="API keys: who may call the server, for what, how often.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The user's name.")]
ONCE = "this is shown once, and kept nowhere: give it to its user, who sends it as Authorization: Bearer KEY"


@contextmanager
def opened() -> Iterator[KeyStore]:
    from mmgen.config import home, load_runtime
    from mmgen.stores.keys import KeyStore

    with KeyStore((load_runtime().home or home()) / "keys.db") as keys:
        yield keys


@app.command()
def add(
    name: Name,
    weight: Annotated[float, typer.Option(help="Its share of the device: twice as much for 2 as for 1.")] = 1.0,
    rate: Annotated[str | None, typer.Option(help="How often it may call: 5/s, 60/min, 500/h, 1000/day.")] = None,
    scopes: Annotated[
        str, typer.Option(help="What for: chat, embeddings, images, stores, stores:write, engine; or all.")
    ] = "chat,embeddings,images,stores",
    stores: Annotated[str | None, typer.Option(help="The stores that it may use, such as notes,work; else all.")] = None,
    days: Annotated[float | None, typer.Option(help="It ends after so many days.", min=0)] = None,
) -> None:
    """Make a key. It is printed once; what is kept can only recognise it."""
    from mmgen.stores.keys import SCOPES

    wanted = SCOPES if scopes.strip() == "all" else _parts(scopes)
    expires = None if days is None else time.time() + days * 86400
    with opened() as keys:
        key = keys.create(name, weight, rate, wanted, None if stores is None else _parts(stores), expires)
    typer.echo(key)
    typer.echo(ONCE, err=True)


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """All keys and what they may do; not the keys themselves."""
    with opened() as keys:
        found = keys.all()
    if as_json:
        print_json(found)
    elif found:
        print_columns(("name", "begins", "state", "weight", "rate", "stores", "scopes"), [_row(key) for key in found])
    else:
        typer.echo("no keys: the server is for this machine alone; make one with: mmgen keys add NAME")


@app.command()
def revoke(name: Name) -> None:
    """End a key, at once, also on a server that runs."""
    with opened() as keys:
        keys.revoke(name)
    typer.echo(f"the key of {name} is revoked; `mmgen keys rotate {name}` makes another")


@app.command()
def rotate(name: Name) -> None:
    """Make a new key in place of one, with the same rights; the old one ends at once."""
    with opened() as keys:
        typer.echo(keys.rotate(name))
    typer.echo(ONCE, err=True)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _row(key: ApiKey) -> tuple[str, ...]:
    ended = key.expires is not None and key.expires <= time.time()
    state = "revoked" if key.revoked is not None else "expired" if ended else "valid"
    stores = "all" if key.stores is None else ",".join(sorted(key.stores))
    rate = "-" if key.rate is None else str(key.rate)
    return (key.name, f"mm-{key.id}", state, f"{key.weight:g}", rate, stores, ",".join(sorted(key.scopes)))
