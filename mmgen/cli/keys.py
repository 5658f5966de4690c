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

app = typer.Typer(help="Manage the server's API keys, scopes and rate limits.", no_args_is_help=True)

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
    weight: Annotated[float, typer.Option(help="Scheduling weight: 2 gets twice the device time of 1.")] = 1.0,
    rate: Annotated[str | None, typer.Option(help="Rate limit: 5/s, 60/min, 500/h or 1000/day.")] = None,
    scopes: Annotated[
        str, typer.Option(help="Scopes: chat, embeddings, images, stores, stores:write, engine; or all.")
    ] = "chat,embeddings,images,stores",
    stores: Annotated[str | None, typer.Option(help="Stores that it may use, such as notes,work; default: all.")] = None,
    days: Annotated[float | None, typer.Option(help="Days until it expires.", min=0)] = None,
) -> None:
    """Create a key. It is printed once; only its hash is stored."""
    from mmgen.stores.keys import SCOPES

    wanted = SCOPES if scopes.strip() == "all" else _parts(scopes)
    expires = None if days is None else time.time() + days * 86400
    with opened() as keys:
        key = keys.create(name, weight, rate, wanted, None if stores is None else _parts(stores), expires)
    typer.echo(key)
    typer.echo(ONCE, err=True)


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List keys with their scopes, without their secrets."""
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
    """Revoke a key, immediately, also on a running server."""
    with opened() as keys:
        keys.revoke(name)
    typer.echo(f"the key of {name} is revoked; `mmgen keys rotate {name}` makes another")


@app.command()
def rotate(name: Name) -> None:
    """Replace a key by a new one with the same rights; the old one is revoked."""
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
