"""`mmgen keys`: the server's API keys, with their scopes, rate limits and quotas."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmgen.cli.output import print_columns, print_json
from mmgen.errors import BadRequest

if TYPE_CHECKING:
    from pathlib import Path

    from mmgen.config import RuntimeConfig
    from mmgen.stores.keys import ApiKey, KeyStore
    from mmgen.stores.quotas import DayUse, QuotaStore

app = typer.Typer(help="Manage the server's API keys, scopes, rate limits and quotas.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The user's name.")]
ONCE = "this is shown once, and kept nowhere: give it to its user, who sends it as Authorization: Bearer KEY"


def place(config: RuntimeConfig) -> Path | str:
    """Where the keys are."""
    from mmgen.config import home

    return config.accounts or (config.home or home()) / "keys.db"


@contextmanager
def opened() -> Iterator[KeyStore]:
    from mmgen.config import load_runtime
    from mmgen.stores.keys import KeyStore

    with KeyStore(place(load_runtime())) as keys:
        yield keys


@contextmanager
def quotas() -> Iterator[QuotaStore]:
    from mmgen.config import load_runtime
    from mmgen.stores.quotas import QuotaStore

    with QuotaStore(place(load_runtime())) as found:
        yield found


@app.command()
def add(
    name: Name,
    weight: Annotated[float, typer.Option(help="Scheduling weight: 2 gets twice the device time of 1.")] = 1.0,
    rate: Annotated[str | None, typer.Option(help="Rate limit: 5/s, 60/min, 500/h or 1000/day.")] = None,
    scopes: Annotated[
        str, typer.Option(help="Scopes: chat, embeddings, images, stores, stores:write, engine; all of these: all; and admin.")
    ] = "chat,embeddings,images,stores",
    stores: Annotated[str | None, typer.Option(help="Stores that it may use, such as notes,work; default: all.")] = None,
    quota: Annotated[float | None, typer.Option(help="Device-seconds a day; default: as many as there are.")] = None,
    days: Annotated[float | None, typer.Option(help="Days until it expires.", min=0)] = None,
) -> None:
    """Create a key. It is printed once; only its hash is stored."""
    from mmgen.stores.quotas import checked

    quota = None if quota is None else checked(quota)
    expires = None if days is None else time.time() + days * 86400
    with opened() as keys, quotas() as limits:
        key = keys.create(name, weight, rate, _scopes(scopes), None if stores is None else _parts(stores), expires)
        limits.set(name, quota)
    typer.echo(key)
    typer.echo(ONCE, err=True)


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List keys with their scopes and their users' device-seconds of today, without their secrets."""
    with opened() as keys, quotas() as limits:
        found = [(key, limits.today(key.name)) for key in keys.all()]
    if as_json:
        print_json([{**key.to_dict(), "quota": use.quota_s, "used_today": use.used_s} for key, use in found])
    elif found:
        head = ("name", "begins", "state", "weight", "rate", "quota", "used today", "stores", "scopes")
        print_columns(head, [_row(key, use) for key, use in found])
    else:
        typer.echo("no keys: the server is for this machine alone; make one with: mmgen keys add NAME")


@app.command()
def change(
    name: Name,
    weight: Annotated[float | None, typer.Option(help="Scheduling weight.")] = None,
    rate: Annotated[str | None, typer.Option(help="Rate limit, such as 60/min; none: no limit.")] = None,
    scopes: Annotated[str | None, typer.Option(help="Scopes, as of `mmgen keys add`.")] = None,
    stores: Annotated[str | None, typer.Option(help="Stores that it may use; all: all.")] = None,
    quota: Annotated[str | None, typer.Option(help="Device-seconds a day; none: no limit.")] = None,
) -> None:
    """Change a key's rights, immediately, also on a running server. What is not given stays."""
    from mmgen.stores.quotas import checked

    to: dict[str, Any] = {} if weight is None else {"weight": weight}
    to |= {} if rate is None else {"rate": None if rate == "none" else rate}
    to |= {} if scopes is None else {"scopes": _scopes(scopes)}
    to |= {} if stores is None else {"stores": None if stores == "all" else _parts(stores)}
    with opened() as keys, quotas() as limits:
        device_s = None if quota in (None, "none") else checked(_seconds(quota))
        keys.change(name, **to)
        if quota is not None:
            limits.set(name, device_s)
    typer.echo(f"the key of {name} is changed")


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


def _scopes(text: str) -> list[str]:
    from mmgen.stores.keys import ALL

    return [scope for part in _parts(text) for scope in (ALL if part == "all" else (part,))]


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadRequest(f'quota is "{text}"; give device-seconds a day, such as 600, or none') from None


def _row(key: ApiKey, use: DayUse) -> tuple[str, ...]:
    stores = "all" if key.stores is None else ",".join(sorted(key.stores))
    rate = "-" if key.rate is None else str(key.rate)
    limits = (f"{key.weight:g}", rate, "-" if use.quota_s is None else f"{use.quota_s:g} s", f"{use.used_s:.1f} s")
    return (key.name, f"mm-{key.id}", key.state(time.time()), *limits, stores, ",".join(sorted(key.scopes)))
